import pytest

# Asserts in what tests share explain themselves only if this is said before it is imported.
pytest.register_assert_rewrite("tests.rooms")
