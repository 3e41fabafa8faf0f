# The image of extauthz: what `requirements.lock` pins, and the package, in a virtual environment.
#
#     docker build --tag extauthz:local .
#     docker run --read-only --cap-drop ALL --volume "$PWD/policy:/etc/extauthz:ro" extauthz:local
#
# It needs no capability, and writes no file but the CRLs that it fetches, where a policy names URLs:
# for these, mount a volume at /var/lib/extauthz. Mount the policy's directory, never the file alone:
# a file that is mounted by itself does not change when it is replaced by a rename.

FROM python:3.13.16-slim-bookworm AS base

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_ROOT_USER_ACTION=ignore
# What python-ldap is compiled with. No versions: Debian offers no other than its last ones.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libldap-dev libsasl2-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Without pip of its own: nothing can be installed into it later.
RUN python -m venv --without-pip /opt/extauthz && mkdir --mode=0700 /opt/state
COPY requirements.lock requirements-ldap.lock ./
# What the second command installs builds the wheel, and stays behind in this stage; so does the
# setuptools that builds python-ldap, of which alone there are no wheels.
RUN python -m pip --python /opt/extauthz/bin/python install \
        --require-hashes --requirement requirements.lock \
    && python -m pip install --no-deps hatchling==1.33.0 \
        packaging==26.3 pathspec==1.1.1 pluggy==1.7.0 trove-classifiers==2026.9.21.13 \
    && sed -n '/^setuptools==/,/# via/p' requirements-ldap.lock > setuptools.lock \
    && python -m pip install --require-hashes --requirement setuptools.lock \
    && python -m pip wheel --require-hashes --requirement requirements-ldap.lock \
        --no-binary python-ldap --no-build-isolation --no-deps --wheel-dir /wheels
COPY pyproject.toml README.md LICENSE ./
COPY extauthz ./extauthz
# `pip check`: what the locks lack is missed here, not by the first check of a certificate.
RUN python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /opt/extauthz/bin/python install \
        --no-index --find-links /wheels 'extauthz[ldap]' \
    && python -m pip --python /opt/extauthz/bin/python check

FROM base
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="extauthz" \
      org.opencontainers.image.description="Client certificate authentication behind Envoy" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH="/opt/extauthz/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    STATE_DIRECTORY=/var/lib/extauthz
# What python-ldap runs with.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libldap-2.5-0 libsasl2-2 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/extauthz /opt/extauthz
# Empty. A new volume takes the owner of the directory that it is mounted over.
COPY --from=build --chown=10001:10001 /opt/state /var/lib/extauthz
# Numbers, so that Kubernetes' `runAsNonRoot` can see that it is not root.
USER 10001:10001
WORKDIR /
# Checks; and /healthz, /readyz and /metrics.
EXPOSE 9000 9001
STOPSIGNAL SIGTERM
# `http.client`, for `urllib` would ask a proxy where the environment names one.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9001, timeout=2); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["extauthz"]
# Within reach of other containers, but answering none: `--allow-from` says which ones may ask.
CMD ["serve", "--policy", "/etc/extauthz/policy.yaml", \
     "--listen", "0.0.0.0:9000", "--admin", "0.0.0.0:9001"]
