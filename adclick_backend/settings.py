"""Every setting, read once from the environment."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adclick_backend.errors import SettingsError
from adclick_runtime.serving.auth import listen_on
from model.checkpoint.manifest import BACKBONES, STATED_LICENCES, TIMM
from model.features.number_format import AUTO, checked


def without_password(url: str) -> str:
    """`url` without the user name and password before its host, which are never used and never shown."""
    return _USER_INFO.sub(r"\1", url)


def checked_bucket(url: str) -> str:
    """The URL of a bucket without a slash at its end; "" stays so.

    Raises:
        ValueError: it is none, or carries a password; the message shows none.
    """
    bare = url.strip().rstrip("/")
    if not bare or _BUCKET_URL.fullmatch(bare):
        return bare
    if "@" in bare:
        raise ValueError(
            "carries a user name or a password: set it to s3://bucket/prefix, and AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    raise ValueError(f"must be a bucket such as s3://adclick or s3://adclick/line-3, and not {url[:80]!r}")


def _either(*names: str) -> AliasChoices:
    return AliasChoices(*names)


_TIMM_NAME = re.compile(rf"{TIMM}[\w.-]+", re.ASCII)
_BUCKET_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/[\w-][\w.-]*)*", re.ASCII)
_HOST_AND_PORT = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", re.ASCII)
_DATABASE_URL = re.compile(r"(?:postgres|postgresql|postgresql\+psycopg)://[^/\s]*/[^/?\s]+(?:\?\S*)?")
_USER_INFO = re.compile(r"^(\s*(?:[a-z+.\-]*://)?).*@", re.IGNORECASE | re.DOTALL)


class Settings(BaseSettings):
    """Settings of the backend.

    Each field is read from the environment variable ``ADCLICK_<FIELD>``; the few with the names that every
    Label Studio backend uses (``LABEL_STUDIO_URL``, ``BASIC_AUTH_USER``, ``PORT`` ...) say so.
    Lists are written with commas.
    """

    model_config = SettingsConfigDict(env_prefix="ADCLICK_", populate_by_name=True, extra="ignore")

    # --- server
    host: str = ""  # address to listen on; see `listen_on`
    port: int = Field(9090, validation_alias=_either("ADCLICK_PORT", "PORT"))
    workers: int = Field(1, ge=1, validation_alias=_either("ADCLICK_WORKERS", "WORKERS"))
    threads: int = Field(16, ge=1, validation_alias=_either("ADCLICK_THREADS", "THREADS"))
    basic_auth_user: str = Field("", validation_alias=_either("ADCLICK_BASIC_AUTH_USER", "BASIC_AUTH_USER"))
    basic_auth_pass: str = Field(
        "", repr=False, validation_alias=_either("ADCLICK_BASIC_AUTH_PASS", "BASIC_AUTH_PASS")
    )
    # further names that it is asked for by; IP addresses and the names of its own network need no mention
    served_as: Annotated[tuple[str, ...], NoDecode] = ()
    max_body_mb: int = 64  # Label Studio resends every mask of a task with every click
    log_level: str = Field("INFO", validation_alias=_either("ADCLICK_LOG_LEVEL", "LOG_LEVEL"))
    # Prometheus' own name for the folder in which several workers add up their metrics; `adclick serve` sets it.
    prometheus_multiproc_dir: Path | None = Field(None, validation_alias=_either("PROMETHEUS_MULTIPROC_DIR"))

    # --- where things are kept
    data_dir: Path = Field(default_factory=lambda: Path("data"))
    # where the files of the projects are kept: s3://bucket/prefix; empty: in the data folder
    files_url: str = ""
    files_cache_mb: int = Field(
        4000, ge=100
    )  # copies of these files on this machine, when they are kept elsewhere
    # the PostgreSQL database of several backends, postgresql://user:password@host:5432/database; empty: a SQLite file
    # in the data folder
    database_url: str = Field("", repr=False)
    # what images are seen with: vit, or lite, as quick and small as it gets (`model.checkpoint.manifest.BACKBONES`);
    # timm:NAME, or the path of a file that `adclick prepare-backbone` wrote
    backbone: str = next(iter(BACKBONES))
    # default: the weights inside the package; "stated-licences": those of them that saw no other data
    checkpoint: Path | None = None
    # detectors that propose masks for projects that nothing was trained for
    detector: Path | None = None
    device: str = "cpu"
    number_format: str = (
        AUTO  # in which networks compute: auto, float32 or bfloat16 (`model.features.number_format`)
    )
    model_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    memory_cache_mb: int = 150  # prepared images in memory, 6 MB each
    disk_cache_mb: int = 4000  # prepared images and reference features on disk

    # --- Label Studio
    label_studio_url: str = Field(
        "", validation_alias=_either("ADCLICK_LABEL_STUDIO_URL", "LABEL_STUDIO_URL")
    )
    label_studio_api_key: str = Field(
        "", repr=False, validation_alias=_either("ADCLICK_LABEL_STUDIO_API_KEY", "LABEL_STUDIO_API_KEY")
    )
    local_files_root: Path | None = Field(
        None,
        validation_alias=_either(
            "ADCLICK_LOCAL_FILES_ROOT",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
            "LOCAL_FILES_DOCUMENT_ROOT",
        ),
    )

    # --- images
    image_hosts: Annotated[
        tuple[str, ...], NoDecode
    ] = ()  # hosts besides Label Studio's that may be fetched from
    max_image_mb: int = 100
    max_megapixels: int = 120
    connect_timeout_s: float = 5.0
    fetch_timeout_s: float = 60.0  # for the whole download

    # --- training
    training_threads: int = Field(default_factory=lambda: max((os.cpu_count() or 1) // 2, 1), ge=1)
    train_every: int = Field(0, ge=0)  # new labels after which a training starts by itself; 0: never
    push_after_training: bool = False  # send predictions of a new version to Label Studio at once
    # told by a POST of JSON when a job is over; a project may have an address of its own
    notify_url: str = Field("", repr=False)

    # what paints generated defects: small, which ships, or a latent diffusion model as a path or the name in a hub
    generator: str = "small"

    # --- a cluster
    # head of a Ray cluster that jobs run on, host:port; empty: jobs run in processes of this machine
    ray_address: str = ""
    ray_workers: int = Field(0, ge=0)  # that look at images at a time; 0: as many as the cluster has room for

    # --- labelling
    normal_choices: Annotated[tuple[str, ...], NoDecode] = ("normal", "good", "ok", "defect-free")
    background_labels: Annotated[tuple[str, ...], NoDecode] = ("background",)
    product_field: str = ""  # task data field that names the product; each product has a bank of its own
    click_memory_s: float = 600.0  # how long a click waits for its next one
    click_timeout_s: float = Field(
        28.0, gt=0, le=90
    )  # for a click whose image has to be fetched: under half a minute
    max_clicks: int = 256
    predict_budget_s: float = Field(
        20.0, ge=0, le=90
    )  # for /predict without clicks; Label Studio waits 100 s

    # --- phrases for the labels
    llm_url: str = ""  # OpenAI-compatible, such as http://192.168.1.20:11434/v1; empty: built-in sentences
    llm_model: str = ""
    llm_key: str = Field("", repr=False)
    llm_timeout_s: float = Field(60.0, gt=0)  # for the whole answer

    @property
    def click_weights(self) -> Path:
        """The click network that all projects share."""
        if self.checkpoint is not None:
            return self.checkpoint
        if self.backbone in BACKBONES:
            return BACKBONES[self.backbone].click
        if not self.backbone.startswith(TIMM):
            return Path(self.backbone)
        return self.data_dir / "backbones" / f"{self.backbone.replace(':', '-')}.safetensors"

    def on_node(self) -> Settings:
        """The same for a process on a node of the Ray cluster, which computes with the one processor or GPU it gets."""
        device = "cuda" if self.device.startswith("cuda") else self.device
        changes = {"ray_address": "", "prometheus_multiproc_dir": None, "device": device, "model_threads": 1}
        return self.model_copy(update=changes)

    @property
    def unprepared(self) -> str:
        """What to run before a backbone that does not ship can be used, as a sentence; "" when nothing."""
        weights = self.click_weights
        if self.checkpoint is not None or self.backbone in BACKBONES or weights.exists():
            return ""
        named = self.backbone if self.backbone.startswith(TIMM) else f"{TIMM}NAME"
        return (
            f"The backbone {self.backbone} is not prepared: {weights} is not there. Run `adclick prepare-backbone "
            f"{named} --out {weights}`, on a machine without internet with --pretrained FILE, and start the backend "
            "again."
        )

    @property
    def needs_password(self) -> bool:
        """Whether callers have to show a user and a password."""
        return bool(self.basic_auth_user or self.basic_auth_pass)

    @property
    def listen_on(self) -> str:
        """The address to listen on; without a password this machine's own, unless another one is named."""
        return listen_on(self.host, needs_password=self.needs_password)

    @property
    def link_problem(self) -> str:
        """What is wrong with the way to Label Studio, as a sentence; "" when URL and key are both set, or neither."""
        url, key = self.label_studio_url, self.label_studio_api_key
        if self._password_in_url:
            return (
                f"LABEL_STUDIO_URL carries a user name or a password, which are not used: set it to {url}, and "
                "LABEL_STUDIO_API_KEY to a token."
            )
        if url and urlsplit(url).scheme not in ("http", "https"):
            return f"LABEL_STUDIO_URL is {url!r}, which is no address such as http://192.168.1.10:8080."
        if url and not key:
            return (
                f"LABEL_STUDIO_URL is set ({url}) and LABEL_STUDIO_API_KEY is not: without a key neither images nor "
                "labels can be read. Create a token in Label Studio, and start the backend with both."
            )
        if key and not url:
            return (
                "LABEL_STUDIO_API_KEY is set and LABEL_STUDIO_URL is not: the key is only ever sent to that URL, so it "
                "is not used. Start the backend with both."
            )
        return ""

    _password_in_url: bool = PrivateAttr(False)

    @model_validator(mode="after")
    def _drop_password(self) -> Settings:
        bare = without_password(self.label_studio_url)
        self._password_in_url = bare != self.label_studio_url
        self.label_studio_url = bare
        return self

    @field_validator("served_as", "image_hosts", "normal_choices", "background_labels", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, value: str) -> str:
        name = value.strip()
        if name.lower() in BACKBONES:
            return name.lower()
        if not _TIMM_NAME.fullmatch(name) and not name.endswith(".safetensors"):
            raise ValueError(
                f"must be one of {', '.join(BACKBONES)}, or timm:NAME, or the path of a .safetensors file that "
                f"`adclick prepare-backbone` wrote, and not {value!r}"
            )
        return name

    @field_validator("checkpoint")
    @classmethod
    def _named_checkpoint(cls, value: Path | None, other: ValidationInfo) -> Path | None:
        if value != Path(STATED_LICENCES):
            return value
        backbone = str(other.data.get("backbone", next(iter(BACKBONES))))
        if backbone not in BACKBONES:
            raise ValueError(
                f"{STATED_LICENCES} has networks behind the backbones {' and '.join(BACKBONES)} alone: leave it out, "
                f"or ADCLICK_BACKBONE, which is {backbone}"
            )
        return BACKBONES[backbone].stated

    @property
    def only_stated(self) -> bool:
        """Whether nothing may serve that was learned from data without a stated licence."""
        return self.checkpoint in [packaged.stated for packaged in BACKBONES.values()]

    @field_validator("number_format")
    @classmethod
    def _known_number_format(cls, value: str) -> str:
        return checked(value.strip().lower())

    @field_validator("notify_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value.strip() and urlsplit(value.strip()).scheme not in ("http", "https"):
            raise ValueError("must be a whole address such as https://chat.example.com/hooks/abc")
        return value.strip()

    @field_validator("files_url")
    @classmethod
    def _bucket(cls, value: str) -> str:
        return checked_bucket(value)

    @field_validator("ray_address")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        address = value.strip()
        if address and not _HOST_AND_PORT.fullmatch(address):
            raise ValueError(
                f"must be the address of the head of a Ray cluster, such as ray-head:6379, and not {address!r}"
            )
        return address

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: str) -> str:
        url = value.strip()
        if url and not _DATABASE_URL.fullmatch(url):
            raise ValueError(  # without the value: it may hold a password
                "must name a PostgreSQL database, as postgresql://user:password@host:5432/database does (a sign such "
                "as @ or / in the password is written %40 or %2F)"
            )
        return url

    @field_validator("label_studio_url", "llm_url")
    @classmethod
    def _strip_slash(cls, value: str) -> str:
        return value.rstrip("/")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: the environment holds one that cannot be.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(" ".join(_sentence(dict(problem)) for problem in error.errors())) from error


def _sentence(problem: dict[str, Any]) -> str:
    """What is wrong with one variable, with the value found."""
    name, value = ".".join(map(str, problem["loc"])), problem["input"]
    field = name if name.isupper() else f"ADCLICK_{name.upper()}"
    said = str(problem.get("ctx", {}).get("error") or f"{problem['msg']}, and not {value!r}")
    return f"{field}: {said.rstrip('.')}."
