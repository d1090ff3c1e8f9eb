# One image a role, over shared layers; `make images` builds them (pipelines/images.py).
# The base needs Python 3.11 or newer with venv. No ENTRYPOINT: Kubeflow gives the command.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS base
# /tmp is the one folder that a container with a read-only root has to be given.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/fourstep \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
RUN python3 -m venv --without-pip /opt/venv \
 && useradd --uid 1000 --home-dir /tmp --no-create-home fourstep \
 && printf '#!/bin/sh\nexec python -m cli "$@"\n' > /usr/local/bin/fourstep \
 && chmod +x /usr/local/bin/fourstep
WORKDIR /opt/fourstep

# uv installs the locked packages and stays out of the images. A CA bundle and an index of one's
# own come as build secrets: --secret id=ca-bundle,src=FILE, id=pip.conf, id=uv.toml.
FROM base AS uv
RUN --mount=type=secret,id=ca-bundle,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=bind,source=requirements-uv.txt,target=/requirements.txt \
    python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /requirements.txt

FROM base AS data-packages
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=secret,id=ca-bundle,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements/data.txt,target=/requirements.txt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt /opt/uv/bin/uv pip install --no-cache \
    --python /opt/venv --require-hashes --no-deps --compile-bytecode -r /requirements.txt

FROM base AS train-packages
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=secret,id=ca-bundle,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements/train.txt,target=/requirements.txt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt /opt/uv/bin/uv pip install --no-cache \
    --python /opt/venv --require-hashes --no-deps --compile-bytecode -r /requirements.txt

FROM train-packages AS onnx-packages
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=secret,id=ca-bundle,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements/onnx.txt,target=/requirements.txt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt /opt/uv/bin/uv pip install --no-cache \
    --python /opt/venv --require-hashes --no-deps --compile-bytecode -r /requirements.txt

FROM base AS register-packages
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=secret,id=ca-bundle,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements/register.txt,target=/requirements.txt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt /opt/uv/bin/uv pip install --no-cache \
    --python /opt/venv --require-hashes --no-deps --compile-bytecode -r /requirements.txt

FROM onnx-packages AS workbench-packages
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=secret,id=ca-bundle,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements.txt,target=/requirements.txt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt /opt/uv/bin/uv pip install --no-cache \
    --python /opt/venv --require-hashes --no-deps --compile-bytecode -r /requirements.txt


# The code comes last, and to each image only what runs in it: no other change changes an image.
FROM base AS stages
COPY models models
COPY components components
RUN python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM stages AS commands
COPY pipelines pipelines
COPY cli cli
RUN python3 -m compileall -q --invalidation-mode unchecked-hash .

# check_params, fetch_data, check_data, validate_data: no torch
FROM data-packages AS data
COPY --from=commands /opt/fourstep .
USER 1000:1000

# training, proposals, evaluation
FROM train-packages AS train
COPY --from=stages /opt/fourstep .
USER 1000:1000

# export_onnx, validate_onnx
FROM onnx-packages AS onnx
COPY --from=stages /opt/fourstep .
USER 1000:1000

# register_model
FROM register-packages AS register
COPY --from=stages /opt/fourstep .
USER 1000:1000

# Everything, for `dvc repro` or `fourstep compile` in a mounted project; no task uses it.
FROM workbench-packages AS workbench
COPY --from=commands /opt/fourstep .
USER 1000:1000
