"""The keys of the playground; `screens.playground` has their actions."""

from textual.binding import Binding, BindingType

PLAYGROUND_KEYS: list[BindingType] = [
    Binding("n", "step(1)", "Next", tooltip="Show the next method", id="playground.next"),
    Binding("N", "step(-1)", "Prev", show=False, tooltip="Show the previous method", id="playground.previous"),
    Binding(
        "e",
        "edit",
        "Edit",
        tooltip="Edit the Ruby, or paste into it; Esc leaves. A paste outside of it replaces all",
        id="playground.edit",
    ),
    Binding("ctrl+n", "clear", "Clear", tooltip="Empty the editor and edit", priority=True, id="playground.clear"),
    Binding("b", "beam", "Beam", tooltip="Next beam width: 1 (greedy), 5, 10", id="playground.beam"),
    Binding("plus", "more", "Model", tooltip="One more model, up to four (Tab goes to its picker)", id="playground.more"),
    Binding(
        "minus",
        "fewer",
        "Less",
        show=False,
        tooltip="Take away the model with the focus, or the last",
        id="playground.fewer",
    ),
    Binding(
        "i",
        "quantize",
        "INT8",
        tooltip="Quantize the model with the focus, or the last: INT8, fp16, …",
        id="playground.quantize",
    ),
    Binding("o", "other", "Other", show=False, tooltip="Choose a model by its folder or hub name", id="playground.other"),
    Binding("h", "history", "History", tooltip="Earlier texts with their comments; Enter opens one", id="playground.history"),
    Binding("y", "copy", "Copy", tooltip="Copy the comments: of the column with the focus, or of all", id="playground.copy"),
    Binding(
        "r",
        "restart",
        "Restart",
        show=False,
        tooltip="Start the playground process again after it has ended",
        id="playground.restart",
    ),
]
