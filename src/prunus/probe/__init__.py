"""One pass over data that streams what criteria and recovery need; nothing of it is kept."""

from prunus.probe._curvature import Curvature
from prunus.probe._evidence import Evidence
from prunus.probe._pass import probe
from prunus.probe._room import Room
from prunus.probe._traces import TRACES, Trace
from prunus.probe._weights import effective
from prunus.probe.directions import Directions
from prunus.probe.loss import Teacher
from prunus.probe.march import March
from prunus.probe.relevance import Relevance

__all__ = [
    "TRACES",
    "Curvature",
    "Directions",
    "Evidence",
    "March",
    "Relevance",
    "Room",
    "Teacher",
    "Trace",
    "effective",
    "probe",
]
