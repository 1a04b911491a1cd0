"""Keys take effect in the order they were pressed in, however fast they come.

Textual hands letters to the focused widget, but lets the keys with an action rise to the app and act there. Of a burst such as
Ctrl-U, h, i the letters would be in the field before Ctrl-U empties it, and what follows a Tab would land in the field that
it leaves. Here a key waits until the one before it has had its effect, and until the screen that it opened is there.
Knows no screens.
"""

from collections import deque
from collections.abc import Callable

from textual.app import App
from textual.events import Event, Key, Paste
from textual.message import Message
from textual.message_pump import MessagePump

STUCK_S, LOOK_S = 5.0, 0.02
"""Seconds after which an unfinished key no longer holds up the others; seconds between two looks at a new screen."""
PASSES = 2
"""The first pass follows the key; the second what it set off, such as Enter's message that a field was submitted."""


class KeyPassed(Message):
    """Follows a key from the widget that got it up to the app: when it arrives there, the key has as well."""

    def __init__(self, key: Event, target: MessagePump, passes: int) -> None:
        super().__init__()
        self.key = key
        self.target = target
        self.passes = passes


class KeyOrder:
    """Lets one key or paste after the other into the app; a screen may say by `is_built` that it is not complete yet.

    Args:
        app: The app.
        handle: Gives the app one of them.
        at_once: Keys that never wait.
    """

    def __init__(self, app: App[None], handle: "Callable[[Event], object]", at_once: frozenset[str]) -> None:
        self._app = app
        self._handle = handle
        self._at_once = at_once
        self._waiting: deque[Event] = deque()
        self._under_way: Event | None = None
        self._looking = False

    def begin(self, event: Event) -> bool:
        """Whether the app may handle an event now; a key that may not is kept, and handled in its turn."""
        if not isinstance(event, Key | Paste) or event.is_forwarded or event is self._under_way:
            return True
        if isinstance(event, Key) and event.key in self._at_once:
            return True
        if self._under_way is None and not self._waiting and self._ready():
            self._under_way = event
            return True
        self._waiting.append(event)
        if self._under_way is not None:
            self._app.set_timer(STUCK_S, lambda stuck=self._under_way: self._end(stuck))
        else:
            self._look()
        return False

    def target(self) -> MessagePump:
        """The widget that the app hands a key to."""
        return (self._app.focused or self._app.screen) if self._app.screen_stack else self._app

    def handed_on(self, event: Event, target: MessagePump) -> None:
        """The app has handled an event, or has handed it to that widget."""
        if event is not self._under_way:
            return
        if not (isinstance(event, Key | Paste) and event.is_forwarded and target.post_message(KeyPassed(event, target, PASSES))):
            self._end(event)

    def passed(self, message: KeyPassed) -> None:
        """One pass has arrived: the next one, or the next key, behind whatever the app has been asked to do meanwhile."""
        if message.passes > 1 and message.target.is_attached:
            again = KeyPassed(message.key, message.target, message.passes - 1)
            self._app.call_later(message.target.post_message, again)
        else:
            self._app.call_later(self._end, message.key)

    def _end(self, event: Event) -> None:
        if event is self._under_way:
            self._under_way = None
            self._look()

    def _ready(self) -> bool:
        return bool(self._app.screen_stack) and self._app.screen.is_mounted and getattr(self._app.screen, "is_built", True)

    def _look(self) -> None:
        """Takes the next key, once the screen it goes to is there."""
        if self._looking or not self._waiting or self._under_way is not None:
            return
        if self._ready():
            self._under_way = self._waiting.popleft()
            self._app.call_next(self._handle, self._under_way)
        else:
            self._looking = True
            self._app.set_timer(LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._looking = False
        self._look()
