"""Texts that a spreadsheet takes for a formula, and texts that it does not: one table for all that writes files for people."""

from __future__ import annotations

FORMULAS = [
    *("=1+1", "+cmd", "-2+3", "@SUM(A1)", "=", "+", "-", "@", "--5", "+-5", "=cmd|'/c calc'!A1"),
    *("＝1", "＋1", "－1", "＠x"),
    *("\t=1", "\r=1", "\n=1", " =1", " \t=1", "\tplain", "\nplain", " \rplain", " -5"),
    *("\u00a0=1", "\u0085=1", "\u000b=1", "\u000c=1", "\u1680=1", "\u2003=1", "\u2028=1", "\u202f=1", "\u205f=1", "\u3000=1"),
    *("+1+1", "+1e5", "-1e5", "-inf", "+nan", "-1.", "-.5", "+1.2.3", "-1_000", "-5 ", "-5\n", "-٥"),
]
HARMLESS = [
    *("", "plain", "a=1", "a-b", "e@mail", "'quoted", "'=1", "a\n=1", "a\tb", "x y", "\u200b=1", "ü", "100 %"),
    *("-5", "+5", "5", "-1.5", "+3.5", "-1,5", "+1,5", "1e5", "007", "1.2.3"),
]
