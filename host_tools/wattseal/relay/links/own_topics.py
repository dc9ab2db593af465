"""A plugin of amqtt: who may publish and hear what. Only the embedded broker loads this module; it needs amqtt."""

import re

from amqtt.contexts import Action
from amqtt.plugins.base import BaseTopicPlugin
from amqtt.session import Session

from wattseal.relay.links.users import RELAY

_TOPIC = re.compile(r"wattseal/[0-9]/[0-9a-f]{2}/([0-9a-f]{40})/(up|down)")
_RELAY_FILTER = re.compile(r"wattseal/\+/(\+|[0-9a-f]{2})/\+/up")


class OwnTopicsPlugin(BaseTopicPlugin):  # type: ignore[misc]  # amqtt has no types
    """A plug publishes on its own `up` topic and hears its own `down` topic, the relay the other way round, and nothing else is allowed."""

    async def topic_filtering(self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None) -> bool:
        """Return whether a session may do something with a topic."""
        user = session.username if session else None
        match = _TOPIC.fullmatch(topic or "")
        if user == RELAY and action == Action.SUBSCRIBE:
            return _RELAY_FILTER.fullmatch(topic or "") is not None
        if match is None or user is None:
            return False
        direction = "up" if (action == Action.PUBLISH) != (user == RELAY) else "down"
        return match[2] == direction and user in (RELAY, match[1])
