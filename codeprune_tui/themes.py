"""The app's own theme, for every kind of colour vision, and the tones of the heatmaps that go with it.

The interface takes Okabe and Ito's palette, whose colours stay apart for people without red, green or blue cones; the heatmap
takes the tones of cividis. Source: Okabe and Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/;
Nuñez, Anderton and Renslow, "Optimizing colormaps with consideration for color vision deficiency", PLoS ONE 13(7), 2018.
"""

from textual.theme import Theme

COLOUR_BLIND_SAFE = Theme(
    name="colour-blind-safe",
    primary="#56b4e9",
    secondary="#cc79a7",
    accent="#f0e442",
    success="#009e73",
    warning="#e69f00",
    error="#d55e00",
    foreground="#f0f0f0",
    background="#101010",
    surface="#1a1a1a",
    panel="#262626",
    dark=True,
)
"""Green (success) and vermillion (error) differ in blue, too, and every state carries a sign beside its colour."""

CIVIDIS = (
    "#00204c",
    "#00306f",
    "#2a406c",
    "#48526b",
    "#5e626e",
    "#727374",
    "#878479",
    "#9e9677",
    "#b6a971",
    "#d0be67",
    "#ffe945",
)
"""0 %, 10 % … 100 %: cividis at eleven even steps."""
