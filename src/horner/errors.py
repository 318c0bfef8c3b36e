"""The one family of exceptions that Horner raises for what a user can put right."""


class HornerError(Exception):
    """Something the user gave cannot be used; the message says what, where, and what to do."""


class PlanError(HornerError):
    """A plan cannot be parsed, or does not fit the model it is meant for."""


class ModelError(HornerError):
    """A model holds something that Horner cannot capture, approximate or lower."""


class ProgramError(HornerError):
    """A program is inconsistent, or would overflow the arithmetic it is meant for."""


class PresetError(HornerError):
    """There is no such preset, or it makes no sense."""


class FileError(HornerError):
    """A file is missing, unreadable, malformed or cannot be written."""


class DataError(HornerError):
    """A data set or an image cannot be found, verified or used."""


class CompileError(HornerError):
    """The C compiler is missing or refused the generated code."""


class MissingToolError(CompileError):
    """A package that an optional feature needs is not installed; the message says how to get it."""


class TrainingError(HornerError):
    """A training run cannot start, go on or resume as asked."""


class InterruptedTrainingError(TrainingError):
    """The user stopped a run; the message says how to go on."""


class SearchError(HornerError):
    """A search cannot start, go on, or be joined as asked."""


class SimulationError(HornerError):
    """The emulated chip stopped, or computed something else than the reference."""


class ArchitectureError(HornerError):
    """An architecture makes no sense, or cannot do a layer."""
