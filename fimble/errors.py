"""The errors of the product, in one tree.

    FimbleError                  anything we raise on purpose
    ├── InputError               the user's input is at fault: exit code 2
    │   ├── ConfigError          a recipe or configuration file
    │   ├── ModelFolderError     a model folder that is missing, broken or of another version
    │   ├── PositionError        a position outside the text
    │   └── SentinelInTextError  text holds a FIM sentinel and the engine takes only text
    └── EngineError              the backend failed; the request can be tried again
        ├── EngineOverloadedError    the backend refuses work for now (HTTP 429)
        ├── EngineUnavailableError   nothing answers at the address
        └── PromptTooLongError       the prompt exceeds the model's context

A message says what is wrong, what was found, what is allowed, and where.
"""


class FimbleError(Exception):
    """Root of the tree; never raised itself."""


class InputError(FimbleError):
    """The user's input is at fault; the command ends with exit code 2 and this message."""


class ConfigError(InputError):
    """A recipe or configuration file holds something we do not accept."""


class ModelFolderError(InputError):
    """A model folder is missing, broken or made for another version."""


class PositionError(InputError):
    """A position lies outside the text."""


class SentinelInTextError(InputError):
    """The text holds a FIM sentinel, and the engine takes only text."""


class EngineError(FimbleError):
    """The backend failed; the request may succeed later."""


class EngineOverloadedError(EngineError):
    """The backend refuses work for now (HTTP 429)."""


class EngineUnavailableError(EngineError):
    """Nothing answers at the address."""


class PromptTooLongError(EngineError):
    """The prompt exceeds the model's context; send a shorter one."""
