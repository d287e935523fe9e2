#!/usr/bin/env python3
"""The pages that `--report` writes, opened in a browser as people do: wide and narrow, light and dark.

On each page nothing is said on the console, nothing is fetched, every chart has marks, nothing is wider than the page, no
text is too small or hard to tell from what lies behind it, and no labels of an axis overlap. Installs what it needs, the
browser as a package of the system and its driver into an environment of its own.

    python3 .ci/reports.py --blis target/release/blis
    python3 .ci/reports.py --pages some.html other.html
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PACKAGES = Path(__file__).with_name("reports.txt")
SCENARIOS = Path(__file__).parent.parent / "scenarios"
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
WIDTHS = [400, 1600]
SCHEMES = ["light", "dark"]
SMALLEST_PX = 10
PATIENCE_MS = 5_000
# What WCAG asks for of text, and of large text.
CONTRAST, CONTRAST_LARGE = 4.5, 3.0
MODEL = ["--model", "qwen/qwen3-14b"]
LLAMA = ["--model", "meta-llama/llama-3.1-8b-instruct"]

# Runs in the page; gives a list of complaints.
LOOK = r"""
({ smallest, contrast, contrastLarge }) => {
  const wrong = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const box = (element) => element.getBoundingClientRect();
  const page = document.scrollingElement;
  if (page.scrollWidth > innerWidth) wrong.push(`the page is ${page.scrollWidth} px wide`);

  const charts = [...document.querySelectorAll("figure.chart")];
  for (const figure of document.querySelectorAll("figure")) {
    const title = figure.querySelector("h3")?.textContent ?? "without a title";
    const drawings = [...figure.querySelectorAll("svg")].filter(shown);
    if (figure.matches(".chart") && drawings.length !== 1) wrong.push(`${title}: ${drawings.length} drawings`);
    for (const drawing of drawings) {
      const marks = [...drawing.querySelectorAll("path.line, path.band, circle, rect")];
      const isSeen = (mark) => mark.getBBox().width > 0 || mark.getBBox().height > 0;
      if (marks.length === 0) wrong.push(`${title}: nothing is drawn`);
      if (!marks.every(isSeen)) wrong.push(`${title}: a mark has no size`);
      if (!marks.every((mark) => getComputedStyle(mark).stroke !== "none" || getComputedStyle(mark).fill !== "none")) {
        wrong.push(`${title}: a mark has no colour`);
      }
      const frame = box(drawing);
      for (const text of drawing.querySelectorAll("text")) {
        const place = box(text);
        if (place.left < frame.left - 1 || place.right > frame.right + 1 || place.top < frame.top - 1 || place.bottom > frame.bottom + 1) {
          wrong.push(`${title}: "${text.textContent}" leaves the drawing`);
        }
      }
      for (const axis of drawing.querySelectorAll("g")) {
        const labels = [...axis.querySelectorAll("text")].map((text) => [text.textContent, box(text)]);
        labels.forEach(([name, a], n) => labels.slice(n + 1).forEach(([other, b]) => {
          const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          const along = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          if (across > 1 && along > 3) wrong.push(`${title}: labels "${name}" and "${other}" overlap`);
        }));
      }
    }
  }

  // Text: how large it is on the screen, and how well it stands out.
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0.5) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const told = new Set();
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || element.closest("script, style, title, .theme legend") || !shown(element)) continue;
    const style = getComputedStyle(element);
    const drawing = element.closest("svg");
    const scale = drawing ? box(drawing).width / drawing.viewBox.baseVal.width : 1;
    const size = parseFloat(style.fontSize) * scale;
    if (size < smallest) wrong.push(`"${text.slice(0, 40)}" is ${size.toFixed(1)} px high`);
    const colour = drawing ? style.fill : style.color;
    const [a, b] = [light(colour), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const kind = `${colour} on ${behind(element)}`;
    if (ratio < (size >= 24 ? contrastLarge : contrast) && !told.has(kind)) {
      told.add(kind);
      wrong.push(`"${text.slice(0, 40)}": contrast ${ratio.toFixed(1)}, ${kind}`);
    }
  }
  for (const image of document.querySelectorAll("svg[role=img]")) {
    if (!image.getAttribute("aria-label")) wrong.push("a drawing has no description");
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id occurs twice");
  return { wrong, charts: charts.length };
}
"""


def environment(folder):
    """The Python of an environment that has the driver."""
    python = folder / "bin" / "python"
    marker = folder / "installed"
    if not marker.exists() or marker.read_text() != PACKAGES.read_text():
        print(f"installing the browser's driver into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", PACKAGES], check=True)
        marker.write_text(PACKAGES.read_text())
    return python


def browser():
    """The browser, as a package of the system if there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        print("installing chromium", flush=True)
        for words in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
            subprocess.run(["apt-get", *words], check=True, stdout=subprocess.DEVNULL)
        found = shutil.which("chromium")
    return found or sys.exit("there is no chromium, and apt-get did not bring one")


def run(blis, folder, *words):
    """Runs a command; its page must be there afterwards."""
    done = subprocess.run([blis, *map(str, words)], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"blis {' '.join(map(str, words))}\n{done.stderr}")


def served(blis, folder):
    """The pages of the commands that need a server, which `blis mock` is."""
    server = subprocess.Popen([blis, "mock", "--port", "0", *LLAMA], stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        url = re.fullmatch(r"listening on (http://\S+)\n", line)
        if not url:
            sys.exit(f"blis mock said {line!r} instead of where it listens")
        sent = ["--server-url", url.group(1), "--rate", "20", "--num-requests", "60", "--record-itl"]
        sent += ["--output-tokens", "30", "--output-tokens-stdev", "10"]
        files = ["--trace-header", "o.yaml", "--trace-data", "o.csv"]
        run(blis, folder, "observe", *LLAMA, *sent, *files, "--slo-ttft", "default=40ms", "--report", "observe.html")
        run(blis, folder, "loop", *LLAMA, *sent, "--out", "l", "--report", "loop.html")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)


def make(blis, folder):
    """A page of each kind."""
    targets = ["--slo-ttft", "default=100ms", "--slo-e2e", "default=20s"]
    overload = ["--workload-spec", SCENARIOS / "overload.yaml", "--policy-config", SCENARIOS / "overload-policy.yaml"]
    fleet = ["--policy-config", SCENARIOS / "autoscaling.yaml", "--num-instances", "2", "--rate", "60"]
    faults = ["--workload-spec", SCENARIOS / "faults.yaml", "--policy-config", SCENARIOS / "faults-policy.yaml"]
    models = ["--workload-spec", SCENARIOS / "two-models.yaml", "--policy-config", SCENARIOS / "two-models-policy.yaml"]
    name = "a-name-without-any-place-to-break-it-" * 4 + "<i>&amp;"
    slo = ["--slo", "ttft_p99<200ms,e2e_p50<20s"]
    plan = ["plan", *LLAMA, "--workload", "chatbot", "--num-requests", "800", "--replications", "6"]
    for page, words in {
        "run": ["run", *MODEL, "--num-instances", "4", "--rate", "40", "--num-requests", "2000", *targets],
        "run-intervals": [
            *["run", *LLAMA, "--hardware", "MI300X", "--tp", "1", "--num-requests", "300", "--slo-ttft", "default=100ms"],
            *["--intervals", "--interval-draws", "20"],
        ],
        "run-one": ["run", *MODEL, "--num-requests", "1"],
        "run-nothing": ["run", *MODEL, "--num-requests", "20", "--rate", "100", "--horizon", "1000"],
        "run-names": ["run", *MODEL, "--num-requests", "30", "--slo-ttft", f"default=1s,{name}=1s"],
        "run-overload": ["run", *MODEL, "--num-instances", "2", "--timeout", "-1", *overload],
        "run-fleet": ["run", *MODEL, "--hardware", "H100", "--tp", "1", "--num-requests", "40000", "--timeout", "-1", *fleet],
        "run-faults": ["run", *LLAMA, "--num-instances", "4", *faults],
        "run-models": ["run", *LLAMA, "--num-instances", "2", "--timeout", "-1", *models],
        "run-trace": ["run", *LLAMA, "--num-requests", "300", "--rate", "10", "--trace-output", "t"],
        "replay": [
            *["replay", *LLAMA, "--num-instances", "2", "--trace-header", "t.yaml", "--trace-data", "t.csv"],
            *["--results-path", "results.json", "--metrics-path", "metrics.json"],
        ],
        "calibrate": [
            *["calibrate", "--trace-header", "t.yaml", "--trace-data", "t.csv", "--sim-results", "results.json"],
            *["--slo-ttft", "default=50ms"],
        ],
        "plan": [*plan, "--rate", "60", *slo, "--try", "tp=1,2", "--price", "H100=3.5"],
        "plan-rate": [*plan, "--num-instances", "2", *slo],
        "plan-none": [*plan, "--rate", "500", "--slo", "ttft_p99<1ms", "--max-instances", "2"],
        "sweep": [
            *["sweep", *LLAMA, "--rate", "20", "--num-requests", "150", "--set", "tp=1,2,4", "--set", "max-num-seqs=8,64,256"],
            *["--set", "max-num-batched-tokens=512,2048,8192", "--objective", "output_tokens_per_s_per_gpu,ttft_p99_ms"],
        ],
        "compare": [
            *["compare", *LLAMA, "--rate", "20", "--num-requests", "150", "--with", "wide: tp=2", "--with", "max-num-seqs=8"],
        ],
    }.items():
        run(blis, folder, *words, "--report", f"{page}.html")
    served(blis, folder)
    return sorted(folder.glob("*.html"))


class Checks:
    """Counts what was looked at and what was wrong."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def settle(self, what, wrong):
        self.passed += not wrong
        self.failed += bool(wrong)
        for complaint in wrong:
            print(f"{what}: {complaint}", flush=True)


def theme_works(tab):
    """Complaints about the switch between light and dark."""
    colour = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for theme in ("light", "dark", "auto"):
        tab.locator(f".theme label:has(#theme-{theme})").click()
        seen[theme] = tab.evaluate(colour)
    wrong = [] if seen["light"] != seen["dark"] else ["the switch between light and dark does nothing"]
    return wrong if seen["auto"] in (seen["light"], seen["dark"]) else [*wrong, "the switch has no way back"]


def handles_work(tab):
    """Complaints about what the script adds: a cursor in charts, and sorting."""
    wrong = []
    charts = tab.locator("figure.chart:has(tbody tr:nth-child(3)) svg:visible")
    if charts.count():
        # A page that scrolls takes the words away again.
        tab.emulate_media(reduced_motion="reduce")
        charts.first.scroll_into_view_if_needed()
        tab.wait_for_timeout(100)
        charts.first.hover()
        if not tab.locator(".tip").is_visible() or not tab.locator(".cursor").count():
            wrong.append("a chart under the pointer tells nothing")
        charts.first.focus()
        tab.keyboard.press("End")
        before = tab.locator(".tip").text_content()
        tab.keyboard.press("Home")
        if tab.locator(".tip").text_content() == before:
            wrong.append("arrow keys tell nothing")
    heads = tab.locator("table.sortable th:nth-child(1) button")
    if heads.count():
        heads.last.click()
        heads.last.click()
        if tab.locator('th[aria-sort="descending"]').count() != 1:
            wrong.append("a column cannot be sorted")
    return wrong


def tried(check, tab):
    """Complaints of a check that may wait in vain for what a page ought to have."""
    from playwright.sync_api import Error

    try:
        return check(tab)
    except Error as error:
        return [f"it does not do what it ought to: {error.message.splitlines()[0]}"]


def look(engine, page, width, scheme, keep, checks):
    """One page at one width in one scheme; a second time without scripts."""
    what = f"{page.name} at {width} px, {scheme}"
    for scripts in (True, False):
        context = engine.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE_MS)
        wrong = []
        tab.on("console", lambda said: wrong.append(f"the console says {said.text}"))
        tab.on("pageerror", lambda error: wrong.append(f"the script fails: {error}"))
        tab.on("request", lambda sent: sent.url.startswith(("file:", "data:")) or wrong.append(f"it fetches {sent.url}"))
        tab.goto(page.as_uri())
        if scripts:
            found = tab.evaluate(
                LOOK, {"smallest": SMALLEST_PX, "contrast": CONTRAST, "contrastLarge": CONTRAST_LARGE}
            )
            wrong += found["wrong"]
            if keep:
                tab.screenshot(path=keep / f"{page.stem}-{width}-{scheme}.png", full_page=True)
            wrong += tried(handles_work, tab)
        wrong += tried(theme_works, tab)
        context.close()
        checks.settle(what if scripts else f"{what}, without scripts", wrong)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--blis", type=Path, help="the program whose pages are looked at")
    arguments.add_argument("--pages", type=Path, nargs="+", help="pages to look at instead")
    arguments.add_argument("--keep", type=Path, help="folder for pages and pictures, to be looked at by people")
    arguments.add_argument("--venv", type=Path, default=Path("target/reports"), help="where the driver is installed")
    given = arguments.parse_args()
    if not (given.blis or given.pages):
        arguments.error("--blis or --pages is needed")
    folder = given.venv.absolute()
    python = environment(folder)
    if Path(sys.prefix).resolve() != folder.resolve():
        os.execv(python, [python, *sys.argv])

    from playwright.sync_api import sync_playwright

    checks = Checks()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = (given.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        pages = [page.resolve() for page in given.pages] if given.pages else make(given.blis.resolve(), folder)
        engine = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        for page in pages:
            for width in WIDTHS:
                for scheme in SCHEMES:
                    look(engine, page, width, scheme, given.keep and folder, checks)
        engine.close()
    print(f"{len(pages)} pages: {checks.passed} passed, {checks.failed} failed")
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    main()
