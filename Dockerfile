# The tag for people; the digest is one build of it, for all architectures. A newer one, with the fixes of Debian since:
#   docker buildx imagetools inspect python:3.12-slim-trixie
FROM python:3.12.15-slim-trixie@sha256:05cda9777409a9c3ffddd94a4c476b79f0769a0b4857f0c7ed9226b6800b0d6f AS base

# glibc otherwise keeps a pool of freed memory for every thread of the server: a third more in all.
ENV MALLOC_ARENA_MAX=2 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# --- a detector on the line: docker build --target runtime --tag adclick-runtime .
#     docker run --rm -p 9090:9090 -v ./detector.zip:/bundle:ro adclick-runtime
FROM base AS runtime-packages
COPY locks/runtime.txt .
# Under 400 MB in all: without compiled files, the packages' own tests, what converts networks, and a second copy of the
# engine for programs in other languages.
RUN pip install --require-hashes --only-binary :all: --no-compile --target /packages --requirement runtime.txt \
    && find /packages -type d -name tests -prune -exec rm -rf {} + \
    && rm -rf /packages/onnxruntime/transformers /packages/onnxruntime/tools /packages/onnxruntime/quantization \
        /packages/onnxruntime/capi/libonnxruntime.so*

FROM base AS runtime
RUN useradd --uid 10001 --user-group --no-create-home adclick
COPY --from=runtime-packages /packages /app
COPY adclick_runtime /app/adclick_runtime
USER adclick
# Only the ports that are published lead into a container; there it listens to all that comes through them.
ENV PYTHONPATH=/app \
    ADCLICK_HOST=0.0.0.0
EXPOSE 9090
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD \
    ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', '9090')}/health\", timeout=3)"]
ENTRYPOINT ["python", "-m", "adclick_runtime"]
CMD ["serve", "/bundle"]

# --- the backend, which is built where no target is named
FROM base AS backend
WORKDIR /app
# What the backend needs, exactly as locked by `make lock`: a download with another hash ends the build. Other locks are
# language, with the text encoder, and cuda, for a GPU, ten times larger: docker build --build-arg LOCK=cuda .
ARG LOCK=cpu
# Where the CPU build of torch is, the only file that PyPI has not.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY locks ./locks
RUN pip install --require-hashes --only-binary :all: --find-links "$TORCH_INDEX/torch/" --requirement "locks/$LOCK.txt"
# Built with the locked setuptools, so nothing more is downloaded.
COPY setup.cfg pyproject.toml README.md LICENSE NOTICE ./
COPY adclick_backend ./adclick_backend
COPY adclick_runtime ./adclick_runtime
COPY model ./model
RUN pip install --no-deps --no-build-isolation .

# Everything that is kept lies on one volume; nothing else has to be writable.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data adclick \
    && install -d -o adclick -g adclick /data
USER adclick
WORKDIR /data
VOLUME /data
# Only the ports that are published lead into a container; there it listens to all that comes through them.
ENV ADCLICK_DATA_DIR=/data \
    ADCLICK_HOST=0.0.0.0
EXPOSE 9090

HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD \
    ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', '9090')}/health\", timeout=3)"]

ENTRYPOINT ["adclick"]
CMD ["serve"]
