"""The models of the settings, apart from the rest of the server, which takes longer to import than a worker to start."""

from __future__ import annotations

from vecgate_server.config import Settings
from vecgate_server.encoders.models import ModelPool
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings


def models_of(settings: Settings) -> ModelPool:
    """Build the models; nothing is started yet."""
    return ModelPool(encoder_settings(settings))


def begin_models(settings: Settings) -> ModelPool:
    """Build the models and start the workers of those to be preloaded, so that they load while the server is imported."""
    models = models_of(settings)
    models.begin()
    return models


def encoder_settings(settings: Settings) -> EncoderSettings:
    """Say in the encoders' own terms which models there are and how they run."""
    encoder, models = settings.encoder, settings.models
    return EncoderSettings(
        default=models.default,
        models=tuple(
            ModelSettings(entry.name, entry.path, entry.precision, entry.matryoshka_dimensions)
            for entry in models.available
        ),
        preload=models.preloaded,
        runtime=encoder.runtime,
        precision=encoder.precision,
        workers=encoder.workers,
        threads=encoder.threads,
        memory_budget_mib=encoder.memory_budget_mib,
        cache_mib=encoder.cache_mib,
        device=encoder.device,
        micro_batch_tokens=encoder.micro_batch_tokens,
        queue_tokens=encoder.queue_tokens,
        cache_directory=encoder.cache_directory,
        hub_endpoint=encoder.hub_endpoint,
        graph_directory=encoder.graph_directory,
    )
