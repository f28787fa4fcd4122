"""The picture of the front page: of a real run of the present demo, and without a reference to anything outside."""

import re
from html import unescape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "images" / "demo.svg").read_text()


def test_the_picture_refers_to_nothing_outside() -> None:
    assert re.findall(r"@font-face|@import|<image|<script|href=|url\((?!#)", TEXT) == []


def test_the_picture_shows_the_claims_of_the_present_demo() -> None:
    texts = [unescape(text).replace("\xa0", " ").strip() for text in re.findall(r">([^<>]+)</text>", TEXT)]
    claims = [text.partition(": ")[0] for before, text in pairwise(texts) if before == "ok"]
    assert len(claims) > 10
    source = (ROOT / "examples" / "local" / "demo.py").read_text()
    # The name of the client is put into the text.
    assert [claim for claim in claims if claim.removeprefix("boto3 ").removeprefix("aws ") not in source] == [], (
        "make picture"
    )
