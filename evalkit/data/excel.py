"""Rows of an Excel sheet, read through openpyxl."""

from __future__ import annotations

import re

_MERGED = re.compile(rb'<mergeCell ref="([A-Z0-9:]{1,32})"')
