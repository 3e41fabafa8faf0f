"""What the tour shows: requests, and what must come of them."""

from dataclasses import dataclass

from extauthz.findings import Reason

__all__ = ["STEPS", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One request through Envoy, by curl."""

    title: str
    status: int
    """The HTTP status that must come back."""
    reasons: tuple[Reason, ...] = ()
    """The reasons that the decision log must give, in its order."""
    certificate: str | None = None
    """Which of the demo certificates is presented: the stem of its file."""
    login: str | None = None
    host: str = "acme.localhost"
    headers: tuple[str, ...] = ()

    def arguments(self, port: int) -> list[str]:
        """What curl is told, to be run in the repository's directory."""
        arguments = ["--cacert", "certs/server-ca.pem"]
        if self.certificate is not None:
            arguments += ["--cert", f"certs/{self.certificate}.pem"]
            arguments += ["--key", f"certs/{self.certificate}-key.pem"]
        if self.login is not None:
            arguments += ["--user", f"{self.login}:secret"]
        for header in self.headers:
            arguments += ["--header", header]
        return [*arguments, f"https://{self.host}:{port}/"]


STEPS = (
    Step("Without a certificate nobody comes in", 403, (Reason.CERTIFICATE_MISSING,)),
    Step("Alice, with hers, does not notice anything", 200, certificate="alice", login="alice"),
    Step("A script of Alice's that does not log in", 200, certificate="alice"),
    Step(
        "Bob's login with Alice's certificate",
        403,
        (Reason.EMAIL_MISMATCH,),
        certificate="alice",
        login="bob",
    ),
    Step(
        "A certificate that expired",
        403,
        (Reason.CERTIFICATE_EXPIRED,),
        certificate="alice-expired",
        login="alice",
    ),
    Step(
        "A certificate that is not valid yet",
        403,
        (Reason.CERTIFICATE_NOT_YET_VALID,),
        certificate="alice-not-yet-valid",
        login="alice",
    ),
    Step(
        "Alice's name and email, but another company's CA",
        403,
        (Reason.ISSUER_MISMATCH,),
        certificate="alice-wrong-issuer",
        login="alice",
    ),
    Step(
        "Alice's name and email, signed by herself",
        403,
        (Reason.ISSUER_MISMATCH,),
        certificate="alice-self-signed",
        login="alice",
    ),
    Step(
        "The right CA, but the email is not that of the account",
        403,
        (Reason.EMAIL_MISMATCH,),
        certificate="alice-wrong-email",
        login="alice",
    ),
    Step(
        "The right CA, but no email in the certificate",
        403,
        (Reason.EMAIL_MISSING,),
        certificate="alice-no-email",
        login="alice",
    ),
    Step(
        "A login that the subscription does not have",
        403,
        (Reason.ACCOUNT_UNKNOWN,),
        certificate="alice",
        login="eve",
    ),
    Step(
        "Carol, at her own company's host",
        200,
        certificate="carol",
        login="carol",
        host="globex.localhost",
    ),
    Step(
        "Alice, at the other company's host",
        403,
        (Reason.ISSUER_MISMATCH, Reason.ACCOUNT_UNKNOWN),
        certificate="alice",
        login="alice",
        host="globex.localhost",
    ),
    Step(
        "A host that belongs to nobody",
        403,
        (Reason.SUBSCRIPTION_UNKNOWN,),
        certificate="alice",
        login="alice",
        host="localhost",
    ),
    Step(
        "No certificate, but a header that says there was one",
        403,
        (Reason.CERTIFICATE_MISSING,),
        login="alice",
        headers=('x-forwarded-client-cert: Hash=0;Cert="forged"',),
    ),
)
