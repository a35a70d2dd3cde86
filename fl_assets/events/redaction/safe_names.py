"""Names and metadata that no rule masks, by their shape alone: most of a fleet's are not looked at further.

What does not go here: what is masked.
"""

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.rule import KEY_SEPARATOR

_HEX_ID = "[0-9a-f]{2}[0-9a-f]*[a-f][0-9a-f]*"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_VERSION = "(?:0|[1-9][0-9]{0,2})[.][0-9]{1,3}[.][0-9]{1,3}"
_WORD = "[A-Za-z][A-Za-z_-]{0,15}[0-9]{0,3}[a-z]?"
_SPAN = f"{_HEX_ID}:{_HEX_ID}(?::[a-z]{{3,4}})?"
"""Event id of a span: ids of trace and span, and which event of it."""
_STEP = f"(?:chat|invoke_agent|execute_tool|embeddings|text_completion|generate_content) {_WORD}"
"""Method of a call: an operation and its model, agent or tool."""
SAFE_NAME = f"(?:{_UUID}|{_HEX_ID}|{_SPAN}|{_STEP}|[0-9]{{1,6}}|{_VERSION}|{_WORD})?"
"""Names that no rule masks. Numbers have at most six digits, and a hex id has a letter after its second place
(a card number has none, an IBAN may begin with two)."""
SAFE_KEY = (
    "(?:(?:node|session|trace|span|parent_span|request|task|run|turn|step|agent|conversation|thread|tenant"
    "|tool)(?:_id)?|(?:agent_|model_)?version|model|region|zone"
    "|gen_ai[.](?:conversation[.]id|operation[.]name|request[.]model|agent[.]name|tool[.]name)"
    "|environment|env|status|status_code|service|method|source_dataset|timestamp_origin|trial|attempt|retries"
    "|provider|operation|framework|language|channel|tier)"
)
SAFE_ITEM = f"(?:{SAFE_KEY}{KEY_SEPARATOR})?{SAFE_NAME}"
"""An entry of metadata whose key names no secret, or a safe name."""
is_safe = linear.fully(SAFE_ITEM)
