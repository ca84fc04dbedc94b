# The server alone, with the reference plugin:
#     docker build -t modelport . && docker run -p 5000:5000 -p 9000:9000 -e BEARER_TOKEN=$(openssl rand -hex 32) modelport
#
# For a module's repository (a folder with a setup.cfg or pyproject.toml of its own), copy this file there and build with
#     docker build --build-arg SERVER=modelport --build-arg MODULE=. -t my_module .
# or start FROM an image with the framework that the module needs: --build-arg BASE=<image with Python 3.11 or later>.
#
# tools/image_test.sh builds and tries it without a daemon.

ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# What is installed: the server (a requirement, or "." for this checkout), then the module beside it.
ARG SERVER=.[buckets]
ARG MODULE=./my_model
WORKDIR /source
COPY . .
# What only building and debugging need stays here: pip, the libraries' tests, their C sources, and the symbols in their
# binaries (uvloop's alone are 12 MB). Libraries in *.libs/ were already stripped, and rearranged so that it must not be
# done again. Without strip, and without Debian to get it from, the image is 40 MB larger.
RUN python3 -m venv --system-site-packages /opt/modelport \
 && /opt/modelport/bin/pip install --no-cache-dir $(test ! -f constraints.txt || echo --constraint constraints.txt) "${SERVER}" \
 && if [ -n "${MODULE}" ]; then /opt/modelport/bin/pip install --no-cache-dir "${MODULE}"; fi \
 && /opt/modelport/bin/pip uninstall --quiet --yes setuptools wheel pip \
 && find /opt/modelport/lib -depth -type d -name tests -exec rm -rf {} + \
 && find /opt/modelport/lib -type f -regex '.*\.\(c\|cpp\|h\|hpp\|pyx\|pxd\|pxi\|a\)' -delete
RUN if ! command -v strip && command -v apt-get; then apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils; fi; \
    if command -v strip; then find /opt/modelport/lib -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} +; fi

FROM ${BASE}
# A volume takes the owner of the folder that it covers.
RUN useradd --create-home --uid 1000 modelport \
 && install --directory --owner modelport --group modelport --mode 700 /home/modelport/state
COPY --from=build /opt/modelport /opt/modelport
ENV PATH=/opt/modelport/bin:$PATH \
    MODELPORT_HOME=/home/modelport/state \
    MODELPORT_LISTEN_IP=0.0.0.0
USER modelport
WORKDIR /home/modelport
VOLUME /home/modelport/state
EXPOSE 5000 9000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:5000{os.environ.get(\"MODELPORT_BASE_PATH\", \"\")}/health', timeout=4)"]
# BEARER_TOKEN is required: the server refuses to listen beyond loopback without one.
CMD ["modelport", "serve"]
