"""Where the viewer has turned a chart to, asked of the browser: Streamlit's own chart does not say it.

The script looks up the cameras among the properties of the charts on the page, and once one of them has come
to rest it turns the others to the same place and reports it. At rest is a camera that stayed where it was
over several drawn frames, for a busy browser may draw none for a while in the midst of a turn. Charts that
Streamlit keeps hidden after it replaced them are passed over. Where the script finds no chart, nothing is
reported: the address keeps the camera that the page set, and each chart is turned for itself.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from webapp.globe import Camera

_SCRIPT = """
export default function ({ setStateValue }) {
  const charts = () => {
    const root = document.getElementById("root");
    const key = root && Object.keys(root).find((name) => name.startsWith("__reactContainer$"));
    const found = [];
    const visit = (node) => {
      for (; node; node = node.sibling) {
        const props = node.memoizedProps;
        if (props && props.isRetained === true) continue;
        const view = props && props.viewState;
        if (view && typeof view.latitude === "number" && typeof props.onViewStateChange === "function") {
          found.push(props);
        } else {
          visit(node.child);
        }
      }
    };
    if (key) visit(root[key].stateNode.current);
    return found;
  };
  const textOf = ({ viewState }) =>
    [viewState.latitude, viewState.longitude, viewState.zoom].map((value) => value.toFixed(4)).join(",");
  let rested = "", before = "";
  const look = () => {
    const all = charts();
    if (!all.length) return;
    const texts = all.map(textOf);
    const text = (rested && texts.find((one) => one !== rested)) || texts[0];
    if (text === before && text !== rested) {
      const [latitude, longitude, zoom] = text.split(",").map(Number);
      all.forEach((props, index) => {
        if (texts[index] === text) return;
        props.onViewStateChange({ viewState: { ...props.viewState, latitude, longitude, zoom } });
      });
      if (rested) setStateValue("camera", [latitude, longitude, zoom]);
      rested = text;
    }
    before = text;
  };
  let timer = 0, frame = 0;
  const after = (frames) => {
    frame = requestAnimationFrame(() => {
      if (frames > 1) return after(frames - 1);
      look();
      wait();
    });
  };
  const wait = () => {
    timer = setTimeout(() => after(3), 250);
  };
  wait();
  return () => {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
  };
}
"""


def follow_camera(key: str, moved: Callable[[Camera], None]) -> None:
    """Have a function called with the camera whenever the viewer has moved it and let go."""

    def take() -> None:
        found = st.session_state[key].get("camera")
        if isinstance(found, list) and len(found) == 3 and all(isinstance(n, int | float) for n in found):
            latitude, longitude, zoom = (float(number) for number in found)
            moved(Camera(latitude, (longitude + 180) % 360 - 180, zoom))

    # Registered at each run, which costs nothing: Streamlit 1.65 forgets it where a test starts another app.
    follow = st.components.v2.component("chart_camera", js=_SCRIPT)
    follow(key=key, height=1, on_camera_change=take)
