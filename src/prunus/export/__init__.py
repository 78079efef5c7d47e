"""Models as graphs that other runtimes run: written, compared with torch, and opened again."""

from prunus.export._exported import Exported
from prunus.export._exporter import Exporter
from prunus.export._facts import FILE, Facts
from prunus.export._open import load
from prunus.export._write import export

__all__ = ["FILE", "Exported", "Exporter", "Facts", "export", "load"]
