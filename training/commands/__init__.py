"""The commands of ``makertaker``, by what they are about; :mod:`..cli` puts them together."""
