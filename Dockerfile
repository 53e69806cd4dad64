FROM python:3.12-slim

# glibc otherwise keeps a pool of freed memory for every thread of the server: a third more in all.
ENV MALLOC_ARENA_MAX=2 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY setup.cfg pyproject.toml README.md LICENSE NOTICE ./
COPY adclick_backend ./adclick_backend
COPY model ./model
# The CPU build of torch sorts above PyPI's CUDA build of the same version, which is ten times larger.
# For a GPU: docker build --build-arg TORCH_INDEX=https://pypi.org/simple .
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --extra-index-url "$TORCH_INDEX" .

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
