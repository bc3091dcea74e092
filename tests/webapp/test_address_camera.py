"""The script that follows the cameras, in a headless Chromium, with charts as Streamlit holds them."""

from __future__ import annotations

import pytest

from webapp.address_camera import _SCRIPT

_PAGE = """async (script) => {
  const chart = (latitude) => {
    const node = { child: null, sibling: null };
    const onViewStateChange = ({ viewState }) => { node.memoizedProps = { viewState, onViewStateChange }; };
    onViewStateChange({ viewState: { latitude, longitude: 0, zoom: 1 } });
    return node;
  };
  const first = chart(0), second = chart(0), hidden = chart(50);
  first.sibling = second;
  const replaced = { memoizedProps: { isRetained: true }, child: hidden, sibling: first };
  const root = Object.assign(document.createElement("div"), { id: "root" });
  root["__reactContainer$test"] = { stateNode: { current: { memoizedProps: null, child: replaced } } };
  document.body.append(root);
  const waiting = [];
  window.requestAnimationFrame = (draw) => waiting.push(draw);
  window.cancelAnimationFrame = () => waiting.splice(0);
  window.drawFrame = () => waiting.splice(0).forEach((draw) => draw());
  window.turn = (latitude) => {
    const { viewState, onViewStateChange } = first.memoizedProps;
    onViewStateChange({ viewState: { ...viewState, latitude } });
  };
  window.latitudes = () => [first, second, hidden].map((node) => node.memoizedProps.viewState.latitude);
  window.reported = [];
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  window.stop = (await import(address)).default({
    setStateValue: (name, value) => window.reported.push([name, value]),
  });
}"""


@pytest.fixture
def charts(browser):
    """A page with two charts and a hidden one, which the script follows; frames are drawn by `drawFrame`."""
    context = browser.new_context()
    page = context.new_page()
    page.evaluate(_PAGE, _SCRIPT)
    look(page, 3)
    yield page
    context.close()


def look(page, times: int) -> None:
    """Draw frames until the script has looked this often at charts that stay where they are."""
    for _ in range(3 * times):
        page.wait_for_timeout(300)
        page.evaluate("drawFrame()")


def test_a_chart_that_was_turned_takes_the_others_along_but_for_hidden_ones(charts):
    assert charts.evaluate("reported") == []  # nobody has turned anything yet
    charts.evaluate("turn(10)")
    look(charts, 3)
    assert charts.evaluate("reported") == [["camera", [10, 0, 1]]]
    assert charts.evaluate("latitudes()") == [10, 10, 50]


def test_a_turn_that_halts_because_no_frame_is_drawn_is_not_over(charts):
    charts.evaluate("turn(10)")
    look(charts, 1)
    charts.wait_for_timeout(1500)  # a busy browser
    for latitude in range(11, 19):  # one step a frame, however long a frame takes
        charts.evaluate(f"turn({latitude})")
        charts.evaluate("drawFrame()")
        charts.wait_for_timeout(400)
    assert charts.evaluate("reported") == []
    look(charts, 3)
    assert charts.evaluate("reported") == [["camera", [18, 0, 1]]]
    assert charts.evaluate("latitudes()") == [18, 18, 50]


def test_once_stopped_it_turns_nothing(charts):
    charts.evaluate("stop()")
    charts.evaluate("turn(10)")
    look(charts, 3)
    assert charts.evaluate("[reported, latitudes()]") == [[], [10, 0, 50]]
