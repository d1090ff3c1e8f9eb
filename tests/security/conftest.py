"""The compiled pipeline, as the tests of pipelines have it."""

from tests.pipelines.conftest import compiled as compiled
