"""What is known of revocation: CRLs and OCSP answers, gathered outside the path of a check."""
