"""Information structures; see :mod:`makertaker.training.common.information`."""

from .common.information import INFORMATION, Information, check_information, visible

__all__ = ["INFORMATION", "Information", "check_information", "visible"]
