"""Secrets that are known by the name before them: `api_key=…`, `deploy key: …`, `"token": "…"`."""

from fl_assets.events.redaction.blocks import ASSIGN, CODE, MIXED, ODD, QUOTE, SEP, STAND_IN, VALUE_WORD
from fl_assets.events.redaction.rule import Rule, Unless, any_case

_SECRET_WORD = (
    "(?:"
    + any_case(
        "secret|api[._ -]?key|access[_-]?key|secret[_-]?key|private[_-]?key|account[_-]?key"
        "|shared[_-]?access[_-]?key|subscription[_-]?key|auth[_-]?key|master[_-]?key|signing[_-]?key"
        "|encryption[_-]?key|key[_-]content|honeycomb-team|license[_-]?key|app[_-]?key|secret[_-]?key[_-]?base|credentials?|signature"
        "|api[- ]?schlüssel|clave de api|chave de api|clé (?:d')?api|ключ api|api[- ]ключ"
        "|api ?密钥|api ?金鑰|api ?キー|مفتاح api|"
    )
    + "(?:[Tt]oken|[Jj]eton) d(?:e |i |'|’)[a-zèé]{3,14}|[Tt][Oo][Kk][Ee][Nn]"
    + "|(?:^|[^A-Za-z])(?:[Ss][Ii][Gg]|[Pp][Aa][Tt]))"
)
_KEY_ABROAD = (
    any_case(
        "(?:sleutel|klucz|klíč|kľúč|anahtar|kunci api|khóa api|nyckel|nøgle|avain|cheie|chiave|clave|chave"
        "|clé|κλειδί|schlüssel|kulcs|jeton|токен|секрет|ключ)"
    )
    + "|מפתח|कुंजी|คีย์|密钥|金鑰|令牌|秘密鍵|キー|トークン|키|토큰|مفتاح|الرمز"
)
"""Words for a key or a token in other languages."""
KEY_OF = any_case(
    "(?:public|primary|foreign|cache|partition|sort|idempotency|object|s3|redis|dedup|routing|hash|websocket"
    "|lookup|row|map|dict|index|group|shard|composite|unique|unexpected|range|event|trace|bucket"
    "|storage path|page|next|continuation|pad|eos|bos|stop|mask|start|end|first|last|order|join"
    "|session key|natural|surrogate|document|translation|config|host|mon|tur|don|hoc|fingerprint|monkey"
    "|image|file|blob|tag|lock|state|artifact|memo|correlation|record|node|kafka|etcd|from|restore)"
)
"""What has keys that are no secrets."""
TOKEN_OF = any_case(
    "(?:public[ _-]?key|next|page|continuation|pad|eos|bos|unk|stop|mask|sep|cls|start|end|first|last)"
)
"""What has tokens that are no secrets."""
_VENDOR_LOGIN = (
    "(?:snyk auth|vault operator unseal|cloudflared (?:service install|tunnel run --token)"
    "|(?:wandb|vercel|netlify|railway|replicate|cargo|dagger|depot|neon) login|ngrok authtoken"
    "|heroku auth:token|snyk config set api=)"
)
"""Commands that take a key as their last word."""
_KEY, _TOKEN_OR_SECRET = any_case("key"), any_case("(?:token|secret)")
_QUOTED_WORD = any_case(
    "(?:secret(?:[_-]?key)?|signing[_-]?key|encryption[_-]?key|salt|pepper|api[_-]?key|private[_-]?key|auth[_-]?key)"
)
_QUOTED_SIGN = f"{_QUOTED_WORD}(?: {{0,3}}:?= {{0,3}}@?|[\"']?: {{0,3}}|[a-z_]{{0,12}} ?)"
_DASHED_WORDS = "[a-z]+(?:[_./-][a-z0-9]{1,12}){1,6}$"
_YEAR = "(?:19|20)[0-9]{2}-"

_HEX_KEY = any_case(
    "(?:(?:auth|api|access|secret|routing|integration|shop|app|private|service|account|project|write|read|admin)"
    "[ _-]?(?:key|token|secret)|token|secret|sign(?:ature)?)"
)
_PLAIN_KEY = (
    "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?::[a-z]{2})?|[0-9a-f]{24,64}|[0-9A-F]{24,64}|[0-9a-z]{24,64}"
    "|[0-9A-Z]{20,64}|[A-Z]{2,4}_?[A-Z]{0,4}-[0-9a-f-]{20,80}"
)
_IS_OF = "(?: (?:de|da|do|d|of|for|del|zum)[ '’][A-Za-z]{2,12})?(?: (?:is|ist|est|es|é|è|to|lautet|jest))?"

RULES = (
    Rule(
        "API_KEY",
        f"({any_case('(?:secret|api[_-]?key|apikey|access[_-]?key|private[_-]?key|token|credentials?)')}{SEP})"
        f"([^ {SEP}]{{6,}})()",
        examples=(f"api_key{SEP}‹abc123def456›",),
        stays=(f"api_key{SEP}settings.key", f"node{SEP}abc123def456"),
        need=f"{MIXED}.*",
        unless=(STAND_IN, CODE),
    ),
    Rule(
        "API_KEY",
        f"((?:{TOKEN_OF}[_A-Za-z -]{{0,8}}[Tt]oken{ASSIGN}"
        f"|{_SECRET_WORD}(?:[ ](?:is|was|provided))?{ASSIGN})@?{QUOTE}?)([0-9A-Za-z_.~+/=%:-]{{6,}})()",
        examples=("client_secret=‹x9Kd02mQ›", "&sig=‹hGFFPrzfgmRElBd1vM5FKg%3D›"),
        stays=("token_count=123456", "next_page_token=CAUQAA1", "api_key=settings.key", "token: 123456789"),
        need=f"(?:{MIXED}|[0-9A-Za-z_-]{{20}}).*",
        unless=(
            STAND_IN,
            CODE,
            "https?:|/(?:.*[^=])?$",
            Unless(before="[Ss]ecret:", value="[a-z]+(?:/[0-9A-Za-z_.-]+)+$"),  # by its path
            Unless(before="[Tt][Oo][Kk][Ee][Nn][^0-9A-Za-z]*", value=".{0,9}$"),
            Unless(before=f"^{TOKEN_OF}.*"),
        ),
    ),
    Rule(
        "API_KEY",
        f"((?:[A-Z0-9]{{1,20}}_){{1,5}}(?:SECRET|TOKEN|KEY)={QUOTE}?)([0-9A-Za-z_.~+/=!@#%^*-]{{8,}})()",
        examples=("NEXTAUTH_SECRET=‹correcthorsebattery›",),
        stays=("PUBLIC_KEY=correcthorsebattery", "SORT_KEY=created_at_desc"),
        unless=(
            STAND_IN,
            CODE,
            "https?:|/",
            Unless(before="^(?:[A-Z0-9]+_)*(?:PUBLIC|PRIMARY|FOREIGN|SORT|CACHE|PARTITION|MAX|HASH)_.*"),
        ),
        apart=True,
    ),
    Rule(  # in quotes, where marks belong to it too
        "API_KEY",
        f"({_QUOTED_SIGN}[\"'])([^ \t\r\n\"'<{SEP}]{{16,}})([\"'])",
        examples=("SECRET_KEY = 'django-‹&7zc0kob8%9agewql3ptw2=2%›'".replace("django-‹", "‹django-"),),
        need=f"{MIXED}.*",
        unless=(STAND_IN, CODE, "[^!@#$%^&*()]+$"),
    ),
    Rule(  # a key of something, in prose or not
        "API_KEY",
        f"((?:^{_TOKEN_OR_SECRET}|[^0-9A-Za-z]{_TOKEN_OR_SECRET}"
        f"|(?:{KEY_OF}[A-Za-z_-]{{0,12}}[ _-]?|[A-Za-z]{{2,24}}[ ._-]?|[?&]|--)"
        f"(?:{any_case('(?:key|token|secret)')}|appid)(?: [0-9]{{1,2}})?|{_VENDOR_LOGIN})"
        f"(?: (?:is|was|provided|saved|set|loaded|created))?:?(?:{ASSIGN}{QUOTE}?|[ \t]+[\"'`|]?[ ]?[`]?"
        "|[\"'](?:, ?|[)] ?, ?)[\"']|[(][\"']))"
        "((?:[0-9A-Za-z]{8}[.])?[0-9A-Za-z_+/=-]{20,})((?:[.:]?[0-9A-Za-z])?)",
        examples=(
            "Api-Key ‹UEuLmYxs.rNyIJUY0evMEvxfLvj5jn7ZKIPdpULZS›",
            "Unseal Key 1: ‹MIyoQJ4QCiyNuxyodt3YUSoTQVMUsL2lnVWqJwNn3jB=›",
            "wandb login ‹a895013d9dc1bbf710aef1f385e54c89a895013d›",
            "travis token ‹kJsrtcIYXVTculGMTRtHAx›",
            "azure openai key ‹a895013d9dc1bbf710aef1f385e54c89›",
            "X-Vendor-Key: ‹a895013d9dc1bbf710aef1f385e54c89›",
            "deploy key: ‹a895013d9dc1bbf710aef1f385e54c89›",
        ),
        stays=(
            "cache key a895013d9dc1bbf710aef1f385e54c89",
            "restore key linux-cargo-af9d27547dae497f86b03af2d2c7529",
        ),
        need=f"(?:{MIXED}|{ODD}).*",
        unless=(
            STAND_IN,
            CODE,
            f"/|[a-z]+(?:[_/-][a-z0-9]{{1,12}}){{1,6}}$|{_YEAR}",
            Unless(before=f"(?:{any_case('(?:next|max|public)')}|(?:^|[^Cc]){any_case('count')}).*"),
            Unless(before="(?:[RD]SA|EC?DSA|EdDSA) key.*", value="[0-9A-F]+$"),
            Unless(before=f"^{KEY_OF}.*"),
        ),
        alone=True,
        apart=True,
    ),
    Rule(
        "API_KEY",
        f"((?:{_KEY_ABROAD})[^0-9\r\n<>/{SEP}]{{0,24}}?[ \t:=：|\"'`「是は는]{{1,4}})"
        "([0-9A-Za-z_+/=.-]{16,})()",
        examples=("密钥是‹a895013d9dc1bbf710aef1f385e54c89›", "Schlüssel: ‹a895013d9dc1bbf710aef1f3›"),
        stays=("clave: 2026-11-24T10-30-45Z",),
        need=f"{MIXED}.*",
        unless=(f"[0-9a-f]{{8}}-[0-9a-f]{{4}}-|{_DASHED_WORDS}|{_YEAR}",),
    ),
    Rule(
        "API_KEY",
        f"((?:[0-9A-Za-z][ _-]?{_KEY}|{_TOKEN_OR_SECRET})"
        f"(?:[\"']|\\\\{{1,3}}[\"']|\r?\n| ?[|])[^<>{SEP}]{{0,60}}?(?:{VALUE_WORD}|[|] ?`?|>))"
        "([0-9A-Za-z_+/=.-]{16,})([\"'<\\\\\r\n |`]?)",
        examples=(
            '{"name": "API_KEY", "value": "‹a895013d9dc1bbf7›"}',
            'variable "api_key" { default = "‹a895013d9dc1bbf7›" }',
        ),
        need=f"{MIXED}.*",
        unless=(f"{_DASHED_WORDS}|{_YEAR}",),
    ),
    Rule(
        "API_KEY",
        f"({_SECRET_WORD}(?:>|[\"'] value=[\"']))([^<> \"'{SEP}]{{8,}})(</|[\"'])",
        examples=("<apiKey>‹a895013d9dc1›</apiKey>",),
        need=f"{MIXED}.*",
        unless=(STAND_IN, CODE, Unless(before="^(?:CREDENTIALS|API_KEY|TOKEN)>.*")),  # our own placeholders
    ),
    Rule(  # of one kind of letters, which hashes and ids are, too
        "API_KEY",
        f"((?:(?:{TOKEN_OF}[_ -]?)?{_HEX_KEY}[\"']?{_IS_OF}"
        f"[ :=>]{{1,3}}[\"'`]?|[{{,][ ]?[\"']Key[\"']: ?[\"']|/(?:web)?hooks?/))"
        f"({_PLAIN_KEY})([^0-9A-Za-z_-]|$)",
        examples=(
            "mi token de acceso es ‹1b3918d08a64532ac5d160de11159b7520983929› y",
            "Mein Shop-Secret ist ‹w07enqdb726524q03r4a4ay5hx1gas2fki1wtkt9›, und",
            "routing_key: ‹RTARR01Z1Z8DS896BGHXSKS9GXCQ80CX›",
            "DeepL-Auth-Key ‹f82b8196-c31e-4d5a-9f94-79a920aec72e:fx›",
            "POST https://n8n.x.io/webhook/‹8a00c1ea-21a7-41bc-b8b5-4b7fcf6682a4›",
            '"OpenAI": { "Key": "‹fb0d8a13eeeedc9c389267e3d7f74065›", ',
            "?nonce=77&sign=‹807399897C01EBE4406CBD063C4130EC› rejected",
        ),
        stays=("next token 1b3918d08a64532ac5d160de11159b7520983929",),
        need="[^0-9]*[0-9].*",
        unless=(STAND_IN, Unless(before=f"^{TOKEN_OF}.*")),
        apart=True,
    ),
    Rule(  # in code
        "API_KEY",
        "(jwt[.](?:sign|verify|encode|decode)[(][^\r\n<]{1,80}, ?[\"']"
        "|[\"'][A-Z_]{0,20}(?:KEY|SALT)[\"'], {0,12}[\"'])"
        f"([^\"'\r\n {SEP}]{{12,80}}|[^\"'\r\n{SEP}]{{40,80}})([\"'])",
        examples=(
            "jwt.sign({ id: 1 }, '‹myUltraSecretSauce2022›', { expiresIn",
            "define('AUTH_KEY',         '‹x+9|Kz~t&Q:s2(vW}4mR{u8H!pL3^eJ6@bN0?yD5#cF7%›');",
        ),
        stays=("jwt.decode(token, 'RS256andothers')",),
        need=f"{MIXED}.*",
        unless=(STAND_IN, CODE, "(?:HS|RS|ES)[0-9]{3}"),
        apart=True,
    ),
    Rule(
        "API_KEY",
        "((?:[Kk]ey|KEY|ipk|[Ss]erial)[^0-9\r\n<]{0,20}?[ :=])"
        "([0-9A-Z]{5}(?:-[0-9A-Z]{5}){4})([^0-9A-Za-z-]|$)",
        examples=("slmgr /ipk ‹8HTMM-4JMQR-9PHPD-87Y4C-FPFJG›",),
        apart=True,
    ),
)
