"""A headless Chromium: a page is opened at some width, a script is run in it, and what it said comes back."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LIMIT_SECONDS = 120


def said(page: str, script: str, width: int, folder: Path, *options: str) -> Any:
    """What the body of a function, given as `script`, returns in the page, once it is loaded. options: of Chromium."""
    saying = (
        "<script>const said = parent.document.createElement('pre'); said.id = 'said';"
        f"try {{ said.textContent = JSON.stringify((function () {{\n{script}\n}})()); }}"
        "catch (error) { said.textContent = JSON.stringify(String(error.stack)); }"
        "parent.document.body.append(said);</script></body>"
    )
    # In a frame, for no window is as narrow as a phone.
    shown = html.escape(page.replace("</body>", saying))
    frame = f'<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{shown}"></iframe>'
    path = folder / "page.html"
    path.write_text(f'<meta charset="utf-8">{frame}', encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"]
    command += ["--window-size=1400,1000", f"--user-data-dir={folder / 'profile'}", *options, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True)
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    return json.loads(html.unescape(found[1]))
