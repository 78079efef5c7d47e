"""One pass over data that streams what criteria and recovery need; nothing of it is kept."""

from prunus.probe._evidence import Evidence
from prunus.probe._moments import Moments, moments
from prunus.probe._pass import probe
from prunus.probe.loss import Teacher

__all__ = ["Evidence", "Moments", "Teacher", "moments", "probe"]
