"""How densities fall while a network trains: one file a curve, times in steps or epochs."""

from prunus.schedule._schedule import Schedule
from prunus.schedule._span import Span
from prunus.schedule._times import Times

__all__ = ["Schedule", "Span", "Times"]
