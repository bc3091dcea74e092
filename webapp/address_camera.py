"""Where the viewer has turned a chart to, asked of the browser: Streamlit's own chart does not say it.

The script looks up the camera among the properties of the chart on the page and reports it once it has come
to rest. Where it finds none, nothing is reported, and the address keeps the camera that the page set.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from webapp.globe import Camera

_SCRIPT = """
export default function ({ setStateValue }) {
  const cameraOf = (element) => {
    const key = element && Object.keys(element).find((name) => name.startsWith("__reactFiber$"));
    for (let node = key && element[key]; node; node = node.return) {
      const state = node.memoizedProps && node.memoizedProps.viewState;
      if (state && typeof state.zoom === "number" && typeof state.latitude === "number") return state;
    }
    return null;
  };
  let reported = "", before = "";
  const look = () => {
    const chart = document.querySelector("[data-testid='stDeckGlJsonChart']");
    const canvas = chart && chart.querySelector("canvas");
    const state = cameraOf(canvas) || cameraOf(chart);
    if (!state) return;
    const camera = [state.latitude, state.longitude, state.zoom].map((value) => Number(value.toFixed(4)));
    const text = camera.join(",");
    if (text === before && text !== reported) {
      if (reported) setStateValue("camera", camera);
      reported = text;
    }
    before = text;
  };
  const timer = setInterval(look, 700);
  return () => clearInterval(timer);
}
"""

_follow = st.components.v2.component("chart_camera", js=_SCRIPT)


def follow_camera(key: str, moved: Callable[[Camera], None]) -> None:
    """Have a function called with the camera whenever the viewer has moved it and let go."""

    def take() -> None:
        found = st.session_state[key].get("camera")
        if isinstance(found, list) and len(found) == 3 and all(isinstance(n, int | float) for n in found):
            latitude, longitude, zoom = (float(number) for number in found)
            moved(Camera(latitude, (longitude + 180) % 360 - 180, zoom))

    _follow(key=key, height=1, on_camera_change=take)
