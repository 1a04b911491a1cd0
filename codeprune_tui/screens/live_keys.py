"""The keys of the live view; `screens.live` has their actions."""

from textual.binding import Binding, BindingType

from .mode import RUN_KEYS

LIVE_KEYS: list[BindingType] = [
    Binding("c", "charts", "Charts", tooltip="Show two series of the run as charts, or the panes again", id="live.charts"),
    Binding("right_square_bracket", "series(1)", "Series", key_display="]", tooltip="Charts: next series", id="live.series"),
    Binding(
        "left_square_bracket", "series(-1)", "Series back", show=False, tooltip="Charts: previous series", id="live.series-back"
    ),
    Binding("enter", "choose_series", "Choose", tooltip="Charts: choose a series from a list", id="live.choose-series"),
    Binding("left", "chart_move(-1)", "Cursor left", show=False, tooltip="Charts: previous value", id="live.chart-left"),
    Binding("right", "chart_move(1)", "Cursor right", show=False, tooltip="Charts: next value", id="live.chart-right"),
    Binding(
        "plus,equals_sign",
        "chart_zoom(1)",
        "Zoom in",
        key_display="+",
        tooltip="Charts: zoom in on the cursor, as the mouse wheel does",
        id="live.chart-zoom-in",
    ),
    Binding("minus", "chart_zoom(-1)", "Zoom out", show=False, tooltip="Charts: zoom out", id="live.chart-zoom-out"),
    Binding("0", "chart_zoom(0)", "Whole", show=False, tooltip="Charts: reset the zoom", id="live.chart-zoom-reset"),
    Binding(
        "shift+left,comma",
        "chart_pan(-1)",
        "Pan left",
        show=False,
        tooltip="Charts: move the zoomed part left",
        id="live.chart-pan-left",
    ),
    Binding(
        "shift+right,full_stop",
        "chart_pan(1)",
        "Pan right",
        show=False,
        tooltip="Charts: move the zoomed part right",
        id="live.chart-pan-right",
    ),
    Binding("escape", "leave_charts", "Back", show=False, tooltip="Charts: go back to the panes", id="live.leave-charts"),
    *RUN_KEYS,
    Binding("f", "freeze", "Freeze", tooltip="Freeze the view or thaw it; the run isn't touched", id="live.freeze"),
    Binding("l", "other", "Log", tooltip="Show the log or the comments, where there is no room for both", id="live.log"),
    Binding("L", "whole_log", "Whole log", show=False, tooltip="Show the whole log, to search", id="live.whole-log"),
    Binding(
        "z",
        "zoom",
        "Zoom",
        show=False,
        tooltip="Enlarge the focused pane (Tab moves the focus) or put it back",
        id="live.zoom",
    ),
]

CHART_ACTIONS = ("series", "choose_series", "chart_move", "chart_zoom", "chart_pan")
"""Actions that only charts have."""
