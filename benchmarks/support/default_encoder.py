"""The encoder that the settings choose by default, so that benchmarks measure what users run."""

from intent_tasks.settings import Settings

ENCODER: str = Settings.model_fields["model_encoder"].default
