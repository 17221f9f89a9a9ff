"""The options of a configured backend, checked against the class that will use them."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vecgate_backends.contract import Backend, SharesStore
from vecgate_backends.errors import ConfigurationError
from vecgate_backends.registry import backend_class, backend_kinds
from vecgate_server.config import BackendSettings, Settings
from vecgate_server.config_faults import InvalidSettingsError, closest, unknown_key


def backend_options(name: str, settings: BackendSettings) -> tuple[type[Backend], Any]:
    """Return the class of a configured backend and an instance of its Options.

    Raises:
        InvalidSettingsError: an unknown kind or option, or a value of the wrong type; one line with its path.
        ConfigurationError: what the backend needs is not installed.
    """
    path = f"backends.{name}"
    kinds = backend_kinds()
    if settings.kind not in kinds:
        known = ", ".join(kinds)
        raise InvalidSettingsError(
            f"{path}.kind: unknown kind {settings.kind!r}{closest(settings.kind, kinds) or f'; installed are: {known}'}"
        )
    backend = backend_class(settings.kind)
    known_options = [option.name for option in fields(backend.Options)]
    for option in settings.options:
        if option not in known_options:
            raise InvalidSettingsError(f"{path}.options.{option}: {unknown_key(option, known_options)}")
    try:
        return backend, TypeAdapter(backend.Options).validate_python(dict(settings.options))
    except ValidationError as invalid:
        fault = invalid.errors(include_url=False)[0]
        where = ".".join(str(step) for step in fault["loc"])
        raise InvalidSettingsError(f"{path}.options.{where}: {fault['msg'].removeprefix('Value error, ')}") from None
    except ConfigurationError as invalid:
        raise InvalidSettingsError(f"{path}.options: {invalid}") from None


def refuse_unshared_backends(settings: Settings) -> None:
    """Check that several server processes can serve every backend; nothing is opened.

    Raises:
        InvalidSettingsError: one cannot; one line that names it.
        ConfigurationError: as backend_options.
    """
    workers = settings.server.workers
    if workers == 1:
        return
    for name, configured in settings.backends.items():
        backend_type, options = backend_options(name, configured)
        backend = backend_type(options)
        if not (isinstance(backend, SharesStore) and backend.shared):
            raise InvalidSettingsError(
                f"server.workers: {workers} processes cannot serve backend {name!r}: what a backend of kind "
                f"{configured.kind!r} keeps as it is configured belongs to one process; set workers: 1"
            )


def with_backend_defaults(settings: Settings) -> Settings:
    """Return the settings with every option of every backend filled in and the defaults that follow others named.

    Raises:
        ConfigurationError: as backend_options.
    """
    backends = {
        name: each.model_copy(update={"options": asdict(backend_options(name, each)[1])})
        for name, each in settings.backends.items()
    }
    models = settings.models.model_copy(update={"preload": settings.models.preloaded})
    return settings.model_copy(
        update={"backends": backends, "default_backend": settings.default_backend_name, "models": models}
    )
