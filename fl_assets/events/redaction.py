r"""What counts as personal data or a secret, and how it is masked: one ordered list of rules for Python and SQL.

What goes here: the rules, `redact` in Python, the same as DuckDB SQL, pseudonyms for ids, and `residue` for the check `no_personal_data`.
What does not: reading or storing text (`events/engine.py`), person names and addresses (`events/pii_names.py`), masking of numbers and
paths for grouping (`signatures.py`).

How a rule works. `find` has three groups: what stays before, the value, what stays after. Rules run in order, each over the whole text; a rule with conditions
marks its matches first, takes the marks off those that stay, then masks the rest. Patterns are written in the subset that RE2 and Python's `re` share,
since the same list must give the same text in DuckDB (with either engine) and here: no lookaround, no `\b`, `\d`, `\w`, `\s`, no case flag (RE2 folds the Kelvin sign into
k, Python does not), no `$`. Each pattern starts at a literal or at a boundary, or its repeats are bounded, where Python would otherwise go quadratic.

The checksums are those of ISO/IEC 7812-1 (Luhn) and ISO 13616 (IBAN, mod 97-10).
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

UNREDACTABLE = "<UNREDACTABLE>"
"""What a value becomes when a rule crashes on it."""

KEY_SEPARATOR, ITEM_SEPARATOR = "\x1e", "\x1f"
"""Between a key and its value, and between texts, where many are redacted as one: a key is the context of its value, and no rule reaches across an ITEM_SEPARATOR."""


def _any_case(words: str) -> str:
    """Return a pattern in which every letter matches in both cases; classes and escapes must not hold letters."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in words)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to mask.

    `find` is first replaced by its three groups between marks, STX before ETX value EOT after ENQ, so that the conditions are plain patterns too. A match is
    masked when `need` matches the value, `keep` is found nowhere in it, `keep_before` does not match from the start of what stays before, what
    stays after is empty if it must stand `alone`, and the `check` holds for the value's letters and digits.
    `hint` is found in every text that the rule can change, whatever earlier rules did to it: the fast path skips the rule where the hint is absent.
    """

    entity: str
    find: str
    hint: str
    need: str = ""
    keep: str = ""
    keep_before: str = ""
    alone: bool = False
    check: Literal["", "luhn", "iban"] = ""

    @property
    def is_plain(self) -> bool:
        """Whether every match is masked."""
        return not (self.need or self.keep or self.keep_before or self.alone or self.check)

    @property
    def unmark(self) -> str:
        """Finds the marked matches that stay."""
        kept = [f"(?:{self.keep_before})[^\x05]*"] if self.keep_before else []
        kept += [f"[^\x05]*(?:{self.keep})[^\x05]*"] if self.keep else []
        return f"\x02({'|'.join(kept)})\x05" if kept else ""

    @property
    def mask(self) -> str:
        """Finds the marked matches that go."""
        value = f"(?:{self.need})" if self.need else "[^\x04]*"
        after = "" if self.alone else "[^\x05]*"
        return f"\x02([^\x03]*)\x03{value}\x04({after})\x05"


_MARKS = "\x02\x03\x04\x05"
_MARKED = "\x02\\1\x03\\2\x04\\3\x05"

# Building blocks ------------------------------------------------------------------------------------------------------

ENTITIES = (
    "PEM", "JWT", "API_KEY", "URL_CREDENTIALS", "BEARER_TOKEN", "BASIC_AUTH", "PASSWORD", "EMAIL", "HOME_USER", "IBAN", "CARD", "SSN", "MAC", "IPV6", "IPV4", "PHONE",
)  # fmt: skip
"""Every entity, in the order in which they are masked."""

_MASKED = f"<(?:{'|'.join(ENTITIES)})>"
"""Stands before a value as what was masked did, which was no boundary: so that a second redaction finds nothing."""
_W = "0-9A-Za-z_"
_SEP = "\x1e\x1f"
_ESCAPED = "%[0-9A-Fa-f]{2}|\\\\[nrt]"
"""What may stand before a value in encoded text: `%3D` in a URL, `\\n` in JSON within a string."""
_HEX = "[0-9A-Fa-f]"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IP = f"{_OCTET}(?:[.]{_OCTET}){{3}}"
_DASH = "‐‑–—\\-"
_LETTERS = "A-Za-zÀ-ÖØ-öø-ɏͰ-ԯ"
_NUMBERED = _any_case(
    "(?:order|orders|ref|reference|invoice|part|sku|ticket|item|serial|model|isbn|tracking|case|build|version|id|no|nr|number|po|lot|batch|code|account|job|run|task|doc|rev|issue)"
)
"""Words that make the number after them a number of a thing."""

# Secrets known by their own form: one entity, for what they ask of the reader is the same (revoke it) and new vendors need one line -----------------------

_KEYS = (
    "A(?:KIA|SIA|ROA|IDA|GPA|NPA|NVA|IPA|BIA|CCA)[0-9A-Z]{16}",  # AWS
    # All that a name and twenty signs make, one entry so that one repeat is counted: Google, GitHub, GitLab, OpenAI and what is like it, Langfuse, PyPI, Docker, Square, Vault, 1Password ...
    "(?:AIza|AQ[.]Ab8|ya29[.]|1//0|GOCSPX-|github_pat_|GR1348941|sk-(?:ant|proj|svcacct|admin|or|lf|live|test|None|helicone)-|pk-lf-|pypi-|dckr_(?:pat|oat)_|sq0[a-z]{3}-|hv[sbr][.]|ops_eyJ|sl[.](?:B|u[.])"
    "|sha256~|t1[.]9eu|ATATT3|ATCTT3|ATBB|EAA[ABCM]|AKID|AKCp|AQVN|YCAJE|IGQVJ|cmVmdGtu|ABSK|sk_live_|sk_prod_|gh[pousr]_|hf_|api_org_|EZ[AT]K"
    "|(?:npm|lin_api|lin_oauth|ntn|secret|lsv2_pt|lsv2_sk|pcsk|gsk|glsa|glc|sntrys|sntryu|sbp|sb_secret|figd|fo1|nfp|pscale_tkn|pscale_pw|pscale_oauth|rubygems|sq[upa]|rdme|bkua|CCIPAT|CCIPRJ|ovsxp|pnu|tfp|aio|fw|r8|ph[cx]"
    "|xkeysib|shippo_live|shippo_test|vcp|vck|vercel_blob_rw|e2b|jina|wandb_v1|tgp_v1|ls_|apify_api|bb_live|dtn|napi|cfut|sgp|duffel_(?:test|live)|CLOJARS|rnd|fm2|zpka|mdb_sa_sk|tsec)_"
    "|(?:bedrock-api-key|secret-token|FLWSECK|FLWSECK_TEST|access-(?:sandbox|production|development)|nk|p8e|fio-u|tk-us|sess|s-s4t2(?:ud|af)|pplx|xai|tvly|nvapi|csk|NRAK|NRII|PMAK|pul|CFPAT|xkeysib|tskey|HRKU|pat-na1|pat-eu1|prod-sec)-)"
    "[0-9A-Za-z_=-]{20,}",
    "gl(?:pat|dt|rt|rtr|cbt|ptt|ft|ffct|soat|agent|imt|oas|wt)-[0-9A-Za-z_.-]{16,}",  # GitLab
    "NRJS-[0-9a-f]{19}",
    "LTAI[0-9A-Za-z]{12,}",  # Alibaba
    "amzn[0-9]?[.](?:mws|oa2-cs[.]v1|application-oa2-client)[.][0-9a-f-]{32,}",
    "sk-[0-9A-Za-z]{20,}",
    "(?:xoxe[.])?xox[a-z]-[0-9A-Za-z.-]{10,}",  # Slack
    "xapp-[0-9]-[0-9A-Za-z-]{10,}",
    "(?:(?:[srp]k|whsec|rzp)_(?:live|test|prod)|sm_[ap]at|lip)_[0-9A-Za-z]{10,}",  # Stripe, Clerk, Razorpay
    "sk_[0-9a-f]{40,}",  # ElevenLabs
    "live_[0-9A-Za-z]{30,}",  # Mollie
    "whsec_[0-9A-Za-z+/=]{20,}",
    "SG[.][0-9A-Za-z_-]{16,}[.][0-9A-Za-z_-]{16,}",  # SendGrid
    "(?:SK|AC|key-)[0-9a-f]{32}",  # Twilio, Mailgun
    "do[opr]_v1_[0-9a-f]{20,}",
    "shp(?:at|ss|ca|pa|tka)_[0-9A-Fa-f]{32}",
    "do?(?:api|se)[0-9a-f]{32}(?:-[0-9])?",  # Databricks
    "dp[.](?:pt|st|ct|scim|audit)[.][0-9A-Za-z._-]{20,}",
    "(?:pat|sat)[.][0-9A-Za-z_-]+[.][0-9a-f]+[.][0-9A-Za-z]{20,}",  # Harness
    "[sp]k[.]eyJ[0-9A-Za-z_-]+[.][0-9A-Za-z_-]{20,}",  # Mapbox
    "access_token[$]production[$][0-9a-z]+[$][0-9a-f]{20,}",
    "API-[0-9A-Z]{26,}",  # Octopus
    "A3-[0-9A-Z]{6}-[0-9A-Z-]{20,}",
    "(?:cio|oy2|fc-|ico-)[0-9A-Za-z]{32,}",
    "re_[0-9A-Za-z]{8}_[0-9A-Za-z]{24}",  # Resend
    "pa-[0-9A-Za-z_-]{40,}",  # Voyage
    "AGE-SECRET-KEY-1[0-9A-Z]{20,}",
    "dt0[a-z][0-9]{2}[.][0-9A-Z]{8,24}[.][0-9A-Z]{20,}",  # Dynatrace
    "hooks[.]slack[.]com/(?:services|workflows|triggers)/[0-9A-Za-z_/-]{20,}",
    "discord(?:app)?[.]com/api/webhooks/[0-9]{15,20}/[0-9A-Za-z_-]{20,}",
)

_INNER_KEYS = {
    "[0-9a-f]{32}-us[0-9]{1,2}": "[0-9a-f]-us[0-9]",  # Mailchimp
    "(?:bot)?[0-9]{8,10}:AA[0-9A-Za-z_-]{32,}": "[0-9]:AA[0-9A-Za-z_-]{8}",  # Telegram
    "[MNO][0-9A-Za-z_-]{23,25}[.][0-9A-Za-z_-]{6}[.][0-9A-Za-z_-]{27,}": "[.][0-9A-Za-z_-]{6}[.][0-9A-Za-z_-]{8}",  # Discord
    "[0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,}": "[0-9]Q~",  # Azure AD
    "pat[0-9A-Za-z]{14}[.][0-9a-f]{64}": "[0-9A-Za-z][.][0-9a-f]{16}",  # Airtable
    "[0-9]/[0-9]+:[0-9a-f]{32}": "[0-9]/[0-9]+:[0-9a-f]{8}",  # Asana
    "[0-9A-Za-z_-]{11}:APA91b[0-9A-Za-z_-]{20,}": ":APA91b",  # Firebase
    "[0-9a-f]+xx[0-9a-f]+NRAL": "[0-9a-f]NRAL",  # New Relic
    "[0-9A-Za-z]{14}[.]atlasv1[.][0-9A-Za-z_=-]{20,}": "[.]atlasv1[.]",
}
"""Keys that do not begin with a name, and what to look for instead."""
_ANY_KEYS = "|".join((*(re.sub("[{][0-9]+,?[}]$", "+", key) for key in _KEYS), *_INNER_KEYS))
"""The same of any length, since an automaton that counts has a state for each number; `_SHORT_KEYS` takes the marks off those that are too short."""
_SHORT_KEYS = (
    f"{_KEYS[1].removesuffix('{20,}')}{{1,19}}|(?:sk_[0-9a-f]|live_|cio|oy2|fc-|ico-|pa-|SK|AC|key-|shp[a-z]+_|API-|re_[0-9A-Za-z]+_)[!-~]{{1,23}}"
    "|(?:A[A-Z]{3}|hooks[.]slack[.]com/[a-z]+/)[!-~]{1,15}|[!-~]{1,17}"
)
"""Of the first, of those that look like words or account numbers, and of all others."""

# Secrets known by the word before them --------------------------------------------------------------------------------

_QUOTE = "(?:\\\\{0,7}[\"'`])"
_ASSIGN = f"{_QUOTE}?(?:\\[?\\])?[ \t]*(?:[?]?:[ ]?&?(?:'static )?[Ss]tr(?:ing)?[ ]?=|=>|->|→|:=|==|[:=\x1e：]|%3[AaDd])[ \t]*"
_UNCASED_PASSWORD_WORD = "パスワード|暗証番号|密码|密碼|口令|비밀번호|비번|암호|كلمة (?:المرور|السر)|الرقم السري|رمز عبور|گذرواژه|پاس ورڈ|סיסמ[הא]|पासवर्ड|পাসওয়ার্ড|கடவுச்சொல்|รหัสผ่าน"
_PLAIN_PASSWORD_WORD = _any_case("(?:pass(?:word|wd|phrase|code|wort)|pwd|contraseña|senha)")
_PASSWORD_WORD = _any_case(
    "(?:pass(?:word|wd|phrase|code|wort|ord)|pwd|kennwort|contras(?:eñ|eny|en)a|senha|palavra-passe|mot de passe|mdp|wachtwoord|adgangskode|kodeord|hasło|heslo|lozinka|slaptažodis|lösenord|salas(?:a|õ)na|jelszó|şifre|parolă|parool|mật khẩu|kata (?:sandi|laluan)|lykilorð|pasahitza|zugangscode|κωδικ(?:ό|ο)ς(?: πρ(?:ό|ο)σβασης)?|συνθηματικό|пароль|парола|лозинка)"
)
"""Of thirty languages; those without capitals have a rule of their own, since each pattern that holds them takes its time to compile."""
_SHORT_PASSWORD_WORD = (
    f"(?:(?:^|[^A-Za-z]){_any_case('(?:user|db|root|admin|bind|smtp|wpa)?(?:pass|pw|psw|psk)')}|[a-z]Pass)"
)
_ANY_PASSWORD_WORD = f"(?:{_PASSWORD_WORD}|{_SHORT_PASSWORD_WORD})"
_SECRET_WORD = _any_case(
    "(?:secret|api[._ -]?key|access[_-]?key|secret[_-]?key|private[_-]?key|account[_-]?key|shared[_-]?access[_-]?key|subscription[_-]?key|auth[_-]?key|master[_-]?key"
    "|signing[_-]?key|encryption[_-]?key|license[_-]?key|app[_-]?key|secret[_-]?key[_-]?base|credentials?|signature"
    "|api[- ]?schlüssel|clave de api|chave de api|clé (?:d')?api|ключ api|api[- ]ключ|api ?密钥|api ?金鑰|api ?キー|مفتاح api|token)"
).replace("|[Tt]", "|(?:^|[^A-Za-z])[Ss][Ii][Gg]|[Tt]")
_WORD_VALUES = _any_case(
    "(?:none|null|nil|na|n/a|true|false|undefined|empty|required|missing|invalid|incorrect|wrong|expired|string|str|secretstr|optional|not|is|must|cannot|can|was|has|does|should"
    "|unset|redacted|hidden|masked|removed|filtered|sensitive|yes|no|field|value|reset|changed?|failed|error|mismatch|unauthorized|bearer|basic|your|all"
    "|rejected|accepted|too|please|blank|enabled|disabled|ok|unknown|set|provided)"
)
_STAND_IN = (
    "(?:=|(?:[a-z]{1,6}[_-])?[Yy][Oo][Uu][Rr][_-][A-Za-z_-]*\x04|\\[\\]|<[0-9A-Za-z_ .-]+>|[$](?:[{(]|[0-9]\x04|[A-Za-z_]+(?:\x04|\\[|->))|[*]{2}|\\[[A-Za-z_ -]+\\]|[\\[{(]+(?:\x04|[\\\\\"'])|\\{{1,2}[A-Za-z_. ]+\\}{1,2}|\\{\\{ |\\([A-Za-z ]+(?:\\)|\x04)|%[(s]|%[A-Z_]+%|[:!][a-z_]+\x04"
    f"|[?]\x04|(?:[A-Za-z]{{1,6}}[_-])?[xX•●]{{3,}}\x04|[#*_.:…-]+\x04|{_WORD_VALUES}[^{_W}-])"
)
"""What stands for a value: a placeholder, or a word such as `None` or `required`."""
_CODE = "(?:(?:[A-Za-z_]+[.])+[A-Za-z_]+(?:\x04|[(])|(?:[A-Za-z_.]|::)+[(\\[]|[A-Za-z_.]*(?:[Pp]assword|[Pp]asswd|[Tt]oken|[Ss]ecret|[Kk]ey)[,):}]*\x04)"
"""A name or a call in source code, as it stands unquoted."""
_PROSE = f"[ ]{_any_case('(?:must|is|are|was|cannot|should|too|not|at least|has|have|does|required|invalid|incorrect|needs|may|field)')}[ ,.!\x04]"
_MIXED = "[^0-9\x04]*[0-9][^A-Za-z\x04]*[A-Za-z]|[^A-Za-z\x04]*[A-Za-z][^0-9\x04]*[0-9]"

_SIGNS = "[^0-9\x04]*[0-9][^A-Za-z!@#$%^&*\x04]*[A-Za-z!@#$%^&*]|[^A-Za-z!@#$%^&*\x04]*[A-Za-z!@#$%^&*][^0-9\x04]*[0-9]|[A-Za-z]+[!@#$%^&*]+[A-Za-z]"
"""Letters, digits and marks mixed, as in passwords and seldom in words."""

_IS = (
    "(?:is|was|to|(?:for|of) [0-9A-Za-z_.@-]{1,40} (?:is|was)|set to|changed to|is now|of|(?:will|would|should|must) be|has been (?:set|changed|reset) to|lautet|ist|est|es|era|é|è|to|je|jest|är|er|on|este|είναι|là|của tôi là"
    f"|(?:del|della|dello|do|da|de|du|des|der|für|van|voor|till|til|para|pour|per|dla|on) (?:(?:la|le|el|il|lo|o|den|das|dem|der|die|het|de|the) )?[^ \t\r\n{_SEP}]{{1,40}} (?:is|was|è|é|es|est|ist|lautet|är|er|to|jest)"
    "|saya|adalah|ми е|—|–|->|→)"
)
"""What stands between a word and its value in prose, in some twenty languages."""
_NO_PASSWORD = (
    _any_case(
        "(?:sha|aes|rsa|test_|md5|bcrypt|pbkdf2|argon2|base64|pkcs|utf|v[0-9]|[0-9]+(?:st|nd|rd|th|x|/|-|ms|s|%|of)|n?varchar|varbinary|char[(])"
    )
    + "|[a-z_-]+:[x*!]:[0-9]|[0-9]{1,3}-[0-9]{1,3}\x04"
)
_ABOUT_PASSWORDS = _any_case(
    "(?:hash|length|polic|strength|minimum|min_|max_|at least|version|line|link|description|message|manager|mgr|attempt|history|error|expire|rotat)"
)
"""Words between `password` and a value that make it something about passwords."""
_GAP_WORDS = f"[^0-9:=;&<>,\r\n{_SEP}]{{0,40}}?"
_TOKEN = f"[^0-9 \t\r\n\"'`<>(){{}}\\[\\],;|\\\\“”«»「」『』{_SEP}]"
_VALUE_WORD = "(?:[Vv]alue|default|text|content)\\\\{0,7}[\"']?[ \t]*(?:[:=][ \t]*\\\\{0,7}[\"']|: )"
"""Where a list of names and values, or a declaration, has the value."""
_WEAK_WORD = _any_case("(?:clave|parola|parole|geslo|sandi|access code|secret phrase|codice|secret_phrase)")
_COMMAND = "(?:docker login|unzip|zip|sqlcmd|bcp|isql|cqlsh|psexec|evil-winrm|xfreerdp|ldap(?:search|add|modify|whoami)|plink|pscp|mongosh?|smbclient|sshpass)"
_PAIR = "(?:[Aa]uth|[Cc]redentials?|[Ll]ogin|entication)=?[(]"

_KEY_OF = _any_case(
    "(?:public|primary|foreign|cache|partition|sort|idempotency|object|s3|redis|dedup|routing|hash|websocket|lookup|row|map|dict|index|group|shard|composite|unique|unexpected|range|event|trace|bucket|storage path|page|next|continuation"
    "|pad|eos|bos|stop|mask|start|end|first|last|order|join|session key|natural|surrogate|document|translation|config|host|mon|tur|don|hoc|fingerprint|monkey|image|file|blob|tag|lock|state|artifact|memo|correlation|record|node|kafka|etcd|from)"
)
"""What has keys that are no secrets."""

_EMAIL_CHAR = f"0-9{_LETTERS}._+-"
_DOMAIN_CHAR = f"0-9{_LETTERS}-"
_AT_DOMAIN = f"(?:@|%40)(?:[{_DOMAIN_CHAR}]+[.])+(?:[{_LETTERS}]{{2,24}}|xn--[0-9A-Za-z-]{{2,40}})"
_NAME = f"[0-9{_LETTERS}_@][0-9{_LETTERS}_@-]*(?:[.][0-9{_LETTERS}_@-]+)*"
_WINDOWS_HOME = "(?:[A-Za-z](?::|%3[Aa])|[^0-9A-Za-z]|[\\\\]{2,4}[0-9A-Za-z._-]{1,40})(?:[\\\\/]{1,8}|%5[Cc])(?:[Uu][Ss][Ee][Rr][Ss]|Documents and Settings)(?:[\\\\/]{1,8}|%5[Cc])"
_PEM_GAP = "(?:[ \t\r\n]|\\\\{1,4}[rnt])"

# Numbers --------------------------------------------------------------------------------------------------------------

_IBAN_LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ XK LT LU MN", 21: "HR LV LI CH", 22: "BH BG CR GE DE IE ME RS GB VA",
    23: "IL IQ TL AE SO GI", 24: "AD CZ MD PK RO SA SK ES SE TN VG DZ", 25: "LY PT ST", 26: "IS TR", 27: "FR GR IT MR MC SM BI DJ", 28: "AL AZ CY DO SV GT HU LB PL BY NI",
    29: "BR PS QA UA EG", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
"""Countries by the length of their account numbers (SWIFT IBAN registry)."""
_IBAN_SEP = "[ \u00a0-]"
_IBAN = "|".join(
    f"(?:{'|'.join(_any_case(country) for country in countries.split())}){_IBAN_SEP}?[0-9]{{2}}(?:{_IBAN_SEP}?[0-9A-Za-z]){{{length - 4}}}"
    for length, countries in _IBAN_LENGTHS.items()
)
_CARD_SEP = f"[ \u00a0{_DASH}._ ]{{0,2}}"
_CARD_FORMS = (
    f"[0-9]{{13,19}}|[0-9]{{4}}{_CARD_SEP}[0-9]{{4}}{_CARD_SEP}[0-9]{{4}}{_CARD_SEP}[0-9]{{4}}(?:{_CARD_SEP}[0-9]{{3}})?"
    f"|[0-9]{{4}}{_CARD_SEP}[0-9]{{6}}{_CARD_SEP}[0-9]{{4,5}}|[0-9]{{4}}{_CARD_SEP}[0-9]{{4}}{_CARD_SEP}[0-9]{{4}}{_CARD_SEP}(?:[0-9]{{3}}|[0-9])"
)
_EXTENSION = f"(?:(?:[ ,;]{{0,3}}(?:{_any_case('extension|extn|ext|durchwahl|poste')}[.:=]{{0,2}}|[xX#])[ ]{{0,2}}[0-9]{{1,6}})?)"
_CALLING_CODE = "(?:[17]|2[07]|2[1-689][0-9]|3[0-469]|3[578][0-9]|4[013-9]|42[0-9]|5[1-8]|5[09][0-9]|6[0-6]|6[7-9][0-9]|8[1246]|8[0578][0-9]|9[0-58]|9[679][0-9])"
_GAP = f"[ ./(){_DASH} ]{{0,3}}"
_PHONE_GAP = "[^0-9\r\n(+\x1f]{0,24}"
_PHONE_WORD = (
    f"(?:(?:{_any_case('phones?|telephones?|telefon|teléfono|telefono|téléphone|telefone|telefoon|mobile|móvil|mobil|cellphone|whatsapp|hotline|handy|msisdn|phone[_ -]?(?:number|no)|rufnummer|телефон')}"
    f"|电话|電話|手机|手機|携帯|전화|هاتف|[Тт]ел[.:]){_PHONE_GAP}|{_any_case('(?:tel|fax|sms|mob|ph)')}(?:[^a-z0-9\r\n(+\x1f]{_PHONE_GAP})?)"
)
"""A word for a telephone and what may stand between it and the number; after a short word no small letter does: `Bestellung` is no telephone."""
_CALL_WORD = _any_case(
    "(?:call|dial|text|contact|ring|reach|cell|callback|(?:my|your|his|her|their|our|this|contact|emergency|direct|office|home|work|cell|best) (?:number|line|no[.])"
    "|bel|ring|rückruf|anruf|ruf|rufen sie|llam(?:a|e|ar|en)|appel(?:le|ez|er)|chiam(?:a|i|ate|are)|ligue|zadzwoń|dzwoń|zavolejte|позвони(?:те)?|звоните)"
)
_CALL_GAP = (
    "(?:[ ](?:"
    + _any_case(
        "me|us|him|her|them|back|now|at|on|to|the|this|number|is|today|via|my|our|your|office|desk|home|cell|mobile|line|directly|was|or|please|for help"
        "|mij|ons|op|mig|oss|på|mich|uns|an|bitte|unter|al|a|au|nous|moi|il|o|para|pro|по|на|мне|нам|numero|número|numéro|numer|nummer|номер|номеру|телефону|aan|naar"
    )
    + ")){0,4}[:,]?[ ]"
)
_MAC_WORD = f"(?:^|[^A-Za-z]){_any_case('(?:(?:hw|mac)[_ -]?addr(?:ess)?|mac)')}"
_SSN_WORD = _any_case(
    "(?:ssn|social security(?: number| no[.]?| #)?|soc[.]? sec|social-security-number|social_security_number|tax[ _-]?id)"
)
_NO_SSN = "\x03(?:000|666|9)|\x03[0-9]{3}[^0-9]?00[^0-9]?[0-9]{4}\x04|0000\x04"
"""Ranges that are not issued."""
_UNIT = _any_case(
    "(?:bytes|ms|tokens|rows|points|seconds|kb|mb|gb|usd|eur|lines|chars|items|users|steps|requests)"
)
_DATE = (
    "(?:(?:19|20)[0-9]{2}[-./ ]?[01][0-9][-./ ]?[0-3][0-9]|[0-3][0-9][-./ ][0-3][0-9][-./ ](?:19|20)[0-9]{2})"
)
_NUMBERED_EDGE = f"(?:^|[^A-Za-z]){_NUMBERED}(?:[_ -]?{_any_case('(?:no|number|num|nr|id|code|key)')})?[.\"']{{0,2}}[ #:=_-]{{1,4}}"
_IS_NUMBERED = f"[^A-Za-z\x03]?{_NUMBERED}[^A-Za-z]|<[A-Z]"
_VERSION_WORD = _any_case(
    "(?:versions?|versión|versão|versione|versie|wersja|версия|версии|версию|ver|release|rev|revision|firmware|build|section|sec|abschnitt|sección|sezione|seção|раздел|chapter|kapitel|clause|step|figure|fig|table|oid|sdk|driver|upgraded?|downgraded?|installed|requires?|v|§|版本|バージョン|버전)"
)

# What the fast path looks for. Placeholders hold only `<`, `>`, `_`, capitals and the digits 4 and 6, so that no earlier rule can bring a hint about.
_TOKEN_OF = _any_case(
    "(?:public[ _-]?key|next|page|continuation|pad|eos|bos|unk|stop|mask|sep|cls|start|end|first|last)"
)
_CARD_NETWORKS = (
    "(?:4(?:[^0-9\x04]{0,2}[0-9]){12}(?:(?:[^0-9\x04]{0,2}[0-9]){3}|(?:[^0-9\x04]{0,2}[0-9]){6})?"
    "|(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|220[0-4]|35|9792)(?:[^0-9\x04]{0,2}[0-9]){12,14}"
    "|3[47](?:[^0-9\x04]{0,2}[0-9]){13}|3(?:0[0-5]|[689])(?:[^0-9\x04]{0,2}[0-9]){11,13}|(?:5[06-9]|6|81)(?:[^0-9\x04]{0,2}[0-9]){11,18})"
)
"""Visa; Mastercard, Mir, JCB, Troy; American Express, Diners; Maestro, RuPay, Discover, UnionPay: how a number begins and how long it is."""
_H_PASSWORD = (
    f"(?:{_any_case('pass(?:w|p|c|ord)|pwd|contras|mdp|kennw|senha|chtwo|dgangs|odeor|hasło|heslo|lozin|slapt|senord|salas(?:a|õ)n|jelsz|şifre|parolă|parool|mật kh|kata (?:sa|la)')}"
    f"|{_any_case('lykilo|pasahi|gangsc|κωδικ|νθημα|парол|лозин|uirep|ntified by')}|redis-cli|パスワ|暗証|密码|密碼|口令|비밀번|비번|암호|كلمة|الرقم ا|رمز عب|گذرو|پاس و|סיסמ|पासव|পাসও|கடவு|รหัสผ"
    f"|{_any_case('(?:passe?|pw|psw|psk)')}(?:[^A-Za-z]|[0-9A-Za-z_-]*>))"
)
"""The short words only where a sign or the end of a tag follows: `passed`, `bypass` and two letters of a key are not meant."""
_KEY_ABROAD = (
    _any_case(
        "(?:sleutel|klucz|klíč|kľúč|anahtar|kunci api|khóa api|nyckel|nøgle|avain|cheie|chiave|clave|chave|clé|κλειδί|schlüssel|kulcs|jeton|токен|секрет|ключ)"
    )
    + "|מפתח|कुंजी|คีย์|密钥|金鑰|令牌|秘密鍵|キー|トークン|키|토큰|مفتاح|الرمز"
)
"""Words for a key or a token in other languages."""
H_SECRET_WORD = (
    _any_case("(?:key|secret|token|appid)") + f"(?: [iI]| [wW]|[: ='\"`|>(\t\r\n\\\\])|{_KEY_ABROAD}"
)
_H_SECRET = (
    _any_case("(?:secret|key|credentials?|signature|sig|token|base|api|schlüssel|密钥|金鑰|キー|ключ)")
    + f"(?: (?:is|was|provided))?{_QUOTE}?\\]?[ \t]*(?:[=:\x1e：→]|->|%3)"
)
_H_LOGIN = f"://[^ \t\r\n/?#\"'<>\\\\{_SEP}]*@"
# A key's name and the first of what follows it: long repeats make an automaton slow.
H_KEYS = "|".join((*(re.sub("{[0-9]{2}.*", "{2}", key) for key in _KEYS), *_INNER_KEYS.values()))
_H_EDGE = f"(?:^|[^0-9A-Za-z]|%{_HEX}{{2}}|\\\\[nrt])"
_H_DIGITS = "|".join(
    (
        f"{_H_EDGE}(?:[3456]|2[2-7]|81|97)[0-9](?:[ \u00a0{_DASH}._ ]{{0,2}}[0-9]){{11}}",  # cards
        f"{_H_EDGE}[0-9]{{3}}[{_DASH} ][0-9]{{2}}[{_DASH} ][0-9]{{4}}|{_SSN_WORD}[^0-9\r\n\x1f]{{0,16}}[0-9]{{3}}",
        f"(?:[+]|%2[Bb])[1-9](?:{_GAP}[0-9]){{6}}|{_H_EDGE}(?:00|011[ -])[1-9](?:{_GAP}[0-9]){{6}}",  # telephones abroad, then in America, then elsewhere
        f"{_H_EDGE}[0-9]{{3}}[)]?[ .{_DASH}/]{{0,2}}[0-9]{{3}}[ .{_DASH}][0-9]{{4}}|{_H_EDGE}(?:[(]?0[1-9](?:{_GAP}[0-9]){{7}}|[(][1-9][0-9][)] ?[0-9]{{4}})",
        f"{_PHONE_WORD}[(]?[0-9]|{_CALL_WORD}{_CALL_GAP}[(]?[0-9][0-9 ]",
    )
)
_H_DOTS = "[0-9][.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]"
_H_COLONS = f"::|(?::{_HEX}{{1,4}}){{4}}|(?:%3[Aa]{_HEX}{{2}}){{4}}|{_HEX}{{2}}-{_HEX}{{2}}-{_HEX}{{2}}-{_HEX}{{2}}-|{_HEX}{{4}}[.]{_HEX}{{4}}[.]{_HEX}{{4}}"
_H_IBAN = f"{_H_EDGE}(?:{'|'.join(_any_case(country) for countries in _IBAN_LENGTHS.values() for country in countries.split())}){_IBAN_SEP}?[0-9]{{2}}(?:{_IBAN_SEP}?[0-9A-Za-z]){{11}}"
_H_HOME = "(?:[Uu][Ss][Ee][Rr][Ss]|home|Settings)(?:[\\\\/]|%5)"

RULES: tuple[Rule, ...] = (
    # XML whose tags are named like our placeholders: what is in them is masked, so that the other rules may take such a tag for a mask
    *(
        Rule(entity, f"(<{entity}>)([^<>{_SEP}]{{1,80}})(</{entity}>)", hint=f"</{entity}>")
        for entity in ENTITIES
        if entity not in ("SSN", "IBAN")
    ),
    Rule(
        "SSN",
        f"(<SSN>)([0-9]{{3}}[{_DASH} ]?[0-9]{{2}}[{_DASH} ]?[0-9]{{4}})(</SSN>)",
        hint="</SSN>",
        keep=_NO_SSN,
    ),
    Rule(
        "IBAN",
        f"(<IBAN>)([A-Za-z]{{2}}{_IBAN_SEP}?[0-9]{{2}}(?:{_IBAN_SEP}?[0-9A-Za-z]){{11,30}})(</IBAN>)",
        hint="</IBAN>",
        check="iban",
    ),
    Rule(
        "PEM",
        f"()(-{{4,5}} ?BEGIN [A-Z0-9 ]{{3,40}}-{{4,5}}(?:(?:[^{_SEP}-]|-{{1,3}}[^{_SEP}-])*-{{4,6}} ?END [A-Z0-9 ]{{3,40}}-{{4,5}}"
        f"|{_PEM_GAP}*(?:[A-Za-z-]{{3,20}}: [^\r\n\\\\{_SEP}]{{0,100}}{_PEM_GAP}{{1,8}}){{0,5}}(?:[0-9A-Za-z+/=]{{16,}}{_PEM_GAP}{{1,8}})*[0-9A-Za-z+/=]{{16,}}))()",
        hint="BEGIN ",
        need="[^\x04]*[0-9A-Za-z+/=]{16}[^\x04]*",
        keep="\x03-* ?BEGIN (?:PGP (?:MESSAGE|SIGNATURE)|SSH SIGNATURE)",
    ),
    Rule(
        "JWT",
        f"({_MASKED}|^|{_ESCAPED}|[^0-9A-Za-z])(eyJ[0-9A-Za-z_-]{{8,}}[.][0-9A-Za-z_-]{{8,}}(?:[.][0-9A-Za-z_-]*){{0,3}})()",
        hint="eyJ",
        keep_before="<[A-Z]",
    ),
    Rule(
        "API_KEY",
        f"({_MASKED}|^|{_ESCAPED}|[^0-9A-Za-z_-])({_ANY_KEYS})()",
        hint=H_KEYS,
        need="(?:[^0-9\x04]*[0-9]|[^\x04]*[a-z][A-Z]|A[A-Z]{3}[0-9A-Z]{16})[^\x04]*",
        keep=f"\x03(?:{_SHORT_KEYS}|[a-z0-9]{{1,8}}(?:[_-](?:[a-z]{{1,12}}|v?[0-9]{{1,19}})){{2,}}(?:=[0-9.]+)?|API-[0-9]+)\x04|[xX*]{{6}}|[.]{{3}}|[Yy][Oo][Uu][Rr][_-]",
        keep_before="<[A-Z]",
    ),
    Rule(
        "URL_CREDENTIALS",
        f"(://)([^ \t\r\n/?#\"'<>@\\\\{_SEP}:]*:[^ \t\r\n/?#\"'<>\\\\{_SEP}]*)(@)",
        hint=_H_LOGIN,
        keep="\x03[A-Z_]{4,}:[A-Z_]{4,}\x04|\x03(?:[Uu]ser(?:name)?|\\[user|[$][A-Z_]+)\\[?:(?:pass(?:word|wd)?\\]?|[$][A-Z_]+)\x04|\x03[^:\x04]*:(?:[*]+|[xX]{3,}|[$%{\\[][^\x04]*|[.]{3})?\x04",
    ),
    Rule(
        "URL_CREDENTIALS",
        "(%3[Aa]%2[Ff]%2[Ff])([0-9A-Za-z_.~+-]*%3[Aa](?:[0-9A-Za-z_.~+!*-]|%[0-35-9A-Fa-f][0-9A-Fa-f]|%4[1-9A-Fa-f])+)(%40)",
        hint="%3[Aa]%2[Ff]%2[Ff]",
    ),
    Rule("URL_CREDENTIALS", "(://)([0-9A-Za-z_%~.-]{16,})(@)", hint=_H_LOGIN, need=f"(?:{_MIXED})[^\x04]*"),
    Rule(
        "BEARER_TOKEN",
        f"({_any_case('bearer')}(?:[ \t\\\\]|%20|[+]){{1,3}})([0-9A-Za-z._~+/=-]{{8,}})()",
        hint=_any_case("bearer"),
        need=f"(?:{_MIXED}|[0-9A-Za-z]{{24}}|[^\x04]*[a-z][A-Z])[^\x04]*",
        keep=f"\x03(?:{_STAND_IN}|[A-Za-z_]{{1,20}}=[0-9A-Za-z]{{1,8}}\x04)",
    ),
    Rule(
        "BASIC_AUTH",
        f"({_any_case('basic')}(?:[ \t]|%20){{1,3}})([0-9A-Za-z+/]{{8,}}={{0,2}})()",
        hint=_any_case("basic"),
        need=f"(?:{_MIXED}|[^=\x04]*=|[^\x04]*[a-z][A-Z][^\x04]{{1,6}}[a-z][A-Z])[^\x04]*",
    ),
    Rule(
        "BEARER_TOKEN",
        f"({_any_case('authorization')}(?:{_ASSIGN}|[\"'], ?){_QUOTE}?{_any_case('(?:bearer|basic)')}[ ]+)([0-9A-Za-z._~+/=-]{{4,}})()",
        hint=_any_case("authorization"),
        keep=f"\x03(?:{_STAND_IN}|{_any_case('(?:token|auth|scheme|realm|header|access|credentials?)')})",
    ),
    Rule(
        "BEARER_TOKEN",
        f"({_any_case('authorization')}(?:{_ASSIGN}|[\"'], ?){_QUOTE}?(?:{_any_case('(?:token|apikey|api-key|key|digest|negotiate|ntlm|oauth|hawk|bearer|basic|ssws|bot|splunk)')}[ ]+)?)"
        "([0-9A-Za-z._~+/=:-]{8,})()",
        hint=_any_case("authorization"),
        need=f"(?:{_MIXED}|[0-9A-Za-z]{{24}})[^\x04]*",
        keep=f"\x03(?:{_STAND_IN}|AWS4-HMAC-SHA256\x04)",
    ),
    # Passwords: a value in a map, in quotes, in quotes within a string, in XML, bare, as a flag, in prose
    Rule(
        "PASSWORD",
        f"({_ANY_PASSWORD_WORD}\x1e)([^{_SEP}]+)()",
        hint=_H_PASSWORD,
        keep=f"\x03(?:{_STAND_IN}|{_CODE}|[0-9]{{1,5}}\x04|[/~])|{_PROSE}",
    ),
    Rule(
        "PASSWORD",
        f'({_ANY_PASSWORD_WORD}{_ASSIGN}")((?:[^"\\\\\r\n{_SEP}]|\\\\[^\r\n{_SEP}])+)(")',
        hint=_H_PASSWORD,
        keep=f"\x03{_STAND_IN}|{_PROSE}",
    ),
    Rule(
        "PASSWORD",
        f"({_ANY_PASSWORD_WORD}(?:{_ASSIGN}|[ ](?:is|was)[ :]{{1,3}})(?:\\\\{{1,7}}[\"']|[\"'`“]))([^\"'`”\\\\\r\n{_SEP}]+)()",
        hint=_H_PASSWORD,
        keep=f"\x03(?:{_STAND_IN}|[)\\],; ])|{_PROSE}",
    ),
    Rule(
        "PASSWORD",
        f"((?:{_PLAIN_PASSWORD_WORD}|{_SHORT_PASSWORD_WORD})[0-9A-Za-z_-]{{0,20}}>)([^<>{_SEP}]+)(</[0-9A-Za-z_:-]{{0,40}}{_PLAIN_PASSWORD_WORD})",
        hint=_H_PASSWORD,
        keep=f"\x03{_STAND_IN}|{_PROSE}",
    ),
    Rule(
        "PASSWORD",
        f"({_ANY_PASSWORD_WORD}{_ASSIGN})([^ \t\r\n\"'`\\\\,;&<>{_SEP}]+(?:&[0-9!@#$%^*][^ \t\r\n\"'`\\\\,;&<>={_SEP}]*)?)()",
        hint=_H_PASSWORD,
        keep=f"\x03(?:{_STAND_IN}|{_CODE})|(?:[:]|%3[Aa])[ \t]*\x03[A-Za-z]+[.!]?\x04|[Pp][Aa][Ss][Ss][ \t]*[:=][ \t]*\x03[0-9]{{1,5}}\x04|[Pp][Ww][Dd][ \t]*[:=][ \t]*\x03[/~.]",
    ),
    Rule(  # `password: letmein`, but not `password: please try again`
        "PASSWORD",
        f"({_ANY_PASSWORD_WORD}{_QUOTE}?[ \t]*(?::|%3[Aa])[ \t]*)([A-Za-z]+[.!]?)([^\r\n\x02-\x05{_SEP}]{{0,2}})",
        hint=_H_PASSWORD,
        keep=f"\x03(?:{_STAND_IN}|{_CODE})|\x04(?: [A-Za-z('\"]|[^ \t\"'`\\\\,;&<>\x05])",
    ),
    Rule(
        "PASSWORD",
        f"((?:(?:^|[^0-9A-Za-z])--?(?:[A-Za-z]{{1,12}}-)?{_any_case('(?:password|passwd|passphrase|pass|pwd|pw|requirepass)')}|requirepass|{_any_case('identified by|with password')}"
        f"|sshpass -p|redis-cli[^\r\n<{_SEP}]{{0,60}}? -a)[ ]+[\"']?)([^ \t\r\n\"'<$*{_SEP}-][^ \t\r\n\"'{_SEP}]*)()",
        hint=_H_PASSWORD,
        keep=f"\x03(?:{_STAND_IN}|(?:directive|option|setting|parameter)\x04)",
    ),
    Rule(
        "PASSWORD",
        f"((?:{_PASSWORD_WORD}(?:'?s|et|m|niz|ni)?(?: {_IS})?|{_SHORT_PASSWORD_WORD} (?:is|was)):?[ ]+[\"'`“«]? ?)([^ \t\r\n\"'`<>“”«»{_SEP}]{{4,}})()",
        hint=_H_PASSWORD,
        need=f"(?:{_SIGNS})[^\x04]*|[0-9]{{4,8}}",
        keep=f"\x03(?:{_STAND_IN}|{_CODE}|[(]|{_NO_PASSWORD}|[a-z]+_[a-z_]+=[0-9]+\x04)|[:=]\x04",
    ),
    Rule(
        "PASSWORD",
        f"((?:{_UNCASED_PASSWORD_WORD})(?:{_ASSIGN}|[ ]?(?:は|是|为|為|는|은|คือ|ה?של[יך] היא|היא|هي|هو)?[ ]?)\\\\{{0,7}}[「『“\"']?)([!#-&(-;=?-~]{{4,}})()",
        hint=_H_PASSWORD,
        need=f"(?:{_SIGNS})[^\x04]*",
    ),
    Rule(  # some words further on, in brackets, quotes or a column of a table: what no word or number looks like
        "PASSWORD",
        f"({_PASSWORD_WORD}(?:{_ASSIGN}(?:[A-Za-z]*[Ss]tr(?:ing)?(?:::from)?|Some|b)[(][\"']|{_GAP_WORDS}(?:[ \t:=|\"'`(\\[{{「『“«*➜\\\\]{{1,6}}|[^0-9:=;&<>\r\n{_SEP}]{{0,20}}?[ \"'(`]{{1,3}})))"
        f"({_TOKEN}{{0,40}}[0-9](?:{_TOKEN}|[0-9])*)([(=:\\[]?)",
        hint=_H_PASSWORD,
        need=f"(?:{_SIGNS})[^\x04]*",
        keep=f"\x03(?:{_STAND_IN}|{_CODE}|{_NO_PASSWORD}|[0-9a-f]{{32}}|[^\x04]*(?:://|@[0-9A-Za-z-]+[.][a-z])|[^\x04]{{0,5}}\x04|{_DATE}|[/~.$]|#[0-9]+|[A-Za-z_][0-9A-Za-z_]*[=:])"
        f"|(?:[^:=|➜,(\\[ ][ ]+[\"'`]?|,[ ]*|[\"'][^\"'\x03]{{1,40}}[\"'], ?[\"'])\x03(?:[A-Za-z._/-]+[0-9.]+|[0-9]+[A-Za-z.]*[0-9]*)[.,!?]?\x04|{_ABOUT_PASSWORDS}[^\x03\x05]*\x03",
        alone=True,
    ),
    Rule(  # `{"name": "DB_PASSWORD", "value": "…"}`, `variable "db_password" { default = "…" }`, `<entry key="db.password">…</entry>`
        "PASSWORD",
        f'((?:{_PLAIN_PASSWORD_WORD}|{_SHORT_PASSWORD_WORD})[^<>{_SEP}]{{0,80}}?(?:{_VALUE_WORD}|"(?:\r?\n|(?:\\\\{{1,2}}r)?\\\\{{1,2}}n){{2}}|["\'][^<>=\r\n{_SEP}-]{{0,20}}>["\']?))([^"\'<>\\\\\r\n{_SEP}]+)(["\'<\\\\\r\n]?)',
        hint=_H_PASSWORD,
        keep=f"\x03(?:{_STAND_IN}|[0-9]{{1,3}}\x04)|\x03[^\x04]* [A-Za-z]|>\x03(?: |[A-Za-z]+\x04)|{_ABOUT_PASSWORDS}[^\x03\x05]*\x03",
    ),
    Rule(  # `use … as the password`, `<input value="…" type="password">`
        "PASSWORD",
        f"((?:{_any_case('(?:use|used|using|enter|entered|try|tried|with|set)')} [\"'`]?|value=[\"']))([^ \t\r\n\"'`<>{_SEP}]{{4,}})"
        f"([\"'`]? as (?:[a-z]{{1,8}} ){{0,2}}{_PLAIN_PASSWORD_WORD}|[\"'][^<>\r\n{_SEP}]{{0,60}}type=[\"']?password)",
        hint=_H_PASSWORD,
        need=f"(?:{_SIGNS})[^\x04]*",
        keep=f"\x03{_STAND_IN}",
    ),
    Rule(  # words that mean other things too
        "PASSWORD",
        f"((?:^|[^A-Za-z])(?:{_WEAK_WORD}(?: (?:de acceso|chiave|d'ordine|mea|mi|wifi))?(?: {_IS} |{_ASSIGN}))[\"'`]?)([^ \t\r\n\"'`<>,;{_SEP}]{{6,}})()",
        hint=_WEAK_WORD,
        need=f"(?:{_SIGNS})[^\x04]*",
        keep=f"\x03(?:[a-z_]+[0-9]{{1,2}}\x04|{_STAND_IN}|{_CODE}|{_NO_PASSWORD}|[/~.$]|[^\x04]*://)",
    ),
    # Commands: a flag, a place among the words, a pipe; and pairs of a name and a password in code
    Rule(
        "PASSWORD",
        f"({_COMMAND}[^\r\n|;<{_SEP}]{{0,80}}? (?:-(?:p|P|pw|w|a)(?: [\"']?|[\"'])|/p:[\"']?|-U [\"']?[^ %<{_SEP}]{{1,40}}%)|sshpass -p|7z [^\r\n|;<{_SEP}]{{0,60}}?-p[\"']?|(?:mysql[a-z]*|mariadb)[^\r\n|;<{_SEP}]{{0,80}}? -p[\"']?|(?:curl|http)[^\r\n|;<{_SEP}]{{0,120}}? (?:-u|--user|-a)[ ]+[\"']?[^ \"'$<:{_SEP}]{{1,64}}:|lftp -u [^ ,<{_SEP}]{{1,64}},|WIFI:[^ \r\n<{_SEP}]{{1,80}};P:"
        f"| -(?:passin|passout|pass|storepass|keypass)[ =](?:pass:)?[\"']?|net user [^ <]{{1,40}} |net use [^\r\n|;<{_SEP}]{{0,80}}?/user:[^ <]{{1,40}} |htpasswd -[a-zA-Z]*b[a-zA-Z]* [^ <]{{1,60}} [^ <]{{1,40}} [\"']?|rabbitmqctl (?:add_user|change_password) [^ <]{{1,40}} [\"']?"
        f"|masterauth [\"']?|redis-cli [^\r\n|;<{_SEP}]{{0,60}}?(?:AUTH|auth) |ConvertTo-SecureString (?:-String )?[\"'])([^ \t\r\n\"'<$*/{_SEP}-][^ \t\r\n\"'<{_SEP}]{{2,}})()",
        hint=f"{_COMMAND} |redis-cli|7z |mysql|mariadb|curl |http -a|lftp -u|WIFI:| -(?:pass(?:in|out)?|storepass|keypass)[ =]|net user? |htpasswd -|rabbitmqctl |masterauth |ConvertTo-S",
        keep=f"\x03(?:{_STAND_IN}|[0-9]{{1,5}}(?::[0-9]+)?\x04)",
    ),
    Rule(
        "PASSWORD",
        f"(echo (?:-n )?[\"']?(?:[a-z][a-z0-9_.-]{{0,30}}:)?)([^ \t\r\n\"'<>$|{_SEP}][^ \t\r\n\"'<>|{_SEP}]{{3,}})([\"']? ?[|] ?(?:sudo )?(?:chpasswd|passwd|-S|docker login|(?:[a-z]{{1,20}} )?-S))",
        hint="echo ",
        keep=f"\x03{_STAND_IN}",
    ),
    Rule(
        "PASSWORD",
        f"({_PAIR}[\"'][^\"'\r\n{_SEP}]{{1,64}}[\"'], ?[\"'])([^\"'\r\n{_SEP}]{{4,}})([\"'])",
        hint=f"{_PAIR}[\"']",
        keep=f"\x03{_STAND_IN}",
    ),
    # Other secrets by their word
    Rule(
        "API_KEY",
        f"({_any_case('(?:secret|api[_-]?key|apikey|access[_-]?key|private[_-]?key|token|credentials?)')}\x1e)([^ {_SEP}]{{6,}})()",
        hint=_H_SECRET,
        need=f"(?:{_MIXED})[^\x04]*",
        keep=f"\x03(?:{_STAND_IN}|{_CODE})",
    ),
    Rule(
        "API_KEY",
        f"((?:{_TOKEN_OF}[_A-Za-z -]{{0,8}}[Tt]oken{_ASSIGN}|{_SECRET_WORD}(?:[ ](?:is|was|provided))?{_ASSIGN}){_QUOTE}?)([0-9A-Za-z_.~+/=%:-]{{6,}})()",
        hint=_H_SECRET,
        need=f"(?:{_MIXED}|[0-9A-Za-z_-]{{20}})[^\x04]*",
        keep=f"\x03(?:{_STAND_IN}|{_CODE}|https?:|/(?:[^\x04]*[^=\x04])?\x04)|[Tt][Oo][Kk][Ee][Nn][^0-9A-Za-z]*\x03[^\x04]{{0,9}}\x04",
        keep_before=_TOKEN_OF,
    ),
    Rule(
        "API_KEY",
        f"((?:[A-Z0-9]{{1,20}}_){{1,5}}(?:SECRET|TOKEN|KEY)={_QUOTE}?)([0-9A-Za-z_.~+/=!@#%^*-]{{8,}})()",
        hint=_H_SECRET,
        keep=f"\x03(?:{_STAND_IN}|{_CODE}|https?:|/)",
        keep_before="(?:[A-Z0-9]+_)*(?:PUBLIC|PRIMARY|FOREIGN|SORT|CACHE|PARTITION|MAX|HASH)_",
    ),
    Rule(  # a key of something, told in prose or not: `azure openai key …`, `deploy key: …`, `X-Vendor-Key: …`, `?key=…`
        "API_KEY",
        f"((?:^{_any_case('(?:token|secret)')}|[^0-9A-Za-z]{_any_case('(?:token|secret)')}|(?:{_KEY_OF}[A-Za-z_-]{{0,12}}[ _-]?|[A-Za-z]{{2,24}}[ ._-]?|[?&]|--)(?:{_any_case('(?:key|token|secret)')}|appid))(?: (?:is|was|provided))?:?(?:{_ASSIGN}{_QUOTE}?|[ \t]+[\"'`|]?[ ]?[`]?|[\"'](?:, ?|[)] ?, ?)[\"']|[(][\"']))([0-9A-Za-z_+/=-]{{20,}})([.:]?[0-9A-Za-z]?)",
        hint=H_SECRET_WORD,
        need=f"(?:{_MIXED})[^\x04]*",
        keep=f"\x03(?:{_STAND_IN}|{_CODE}|/|[a-z]+(?:[_/-][a-z0-9]{{1,12}}){{1,6}}\x04|(?:19|20)[0-9]{{2}}-)|{_any_case('(?:next|max|count|public)')}[^\x03\x05]*\x03|(?:[RD]SA|EC?DSA|EdDSA) key[^\x03]*\x03[0-9A-F]+\x04",
        keep_before=_KEY_OF,
        alone=True,
    ),
    Rule(
        "API_KEY",
        f"((?:{_KEY_ABROAD})[^0-9\r\n<>/{_SEP}]{{0,24}}?[ \t:=：|\"'`「是は는]{{1,4}})([0-9A-Za-z_+/=.-]{{16,}})()",
        hint=H_SECRET_WORD,
        need=f"(?:{_MIXED})[^\x04]*",
        keep="\x03(?:[0-9a-f]{8}-[0-9a-f]{4}-|[a-z]+(?:[_./-][a-z0-9]{1,12}){1,6}\x04|(?:19|20)[0-9]{2}-)",
    ),
    Rule(  # `{"name": "API_KEY", "value": "…"}`, `variable "api_key" { default = "…" }`
        "API_KEY",
        f"((?:[0-9A-Za-z][ _-]?{_any_case('key')}|{_any_case('(?:token|secret)')})(?:[\"']|\\\\{{1,3}}[\"']|\r?\n| ?[|])[^<>{_SEP}]{{0,60}}?(?:{_VALUE_WORD}|[|] ?`?|>))([0-9A-Za-z_+/=.-]{{16,}})([\"'<\\\\\r\n |`]?)",
        hint=H_SECRET_WORD,
        need=f"(?:{_MIXED})[^\x04]*",
        keep="\x03(?:[a-z]+(?:[_./-][a-z0-9]{1,12}){1,6}\x04|(?:19|20)[0-9]{2}-)",
    ),
    Rule(
        "API_KEY",
        f"({_SECRET_WORD}(?:>|[\"'] value=[\"']))([^<> \"'{_SEP}]{{8,}})(</|[\"'])",
        hint=_any_case("(?:key|secret|token|credentials?|signature)") + "(?:>|[\"'] value=)",
        keep_before="(?:CREDENTIALS|API_KEY|TOKEN)>",  # of our own placeholders
        need=f"(?:{_MIXED})[^\x04]*",
        keep=f"\x03(?:{_STAND_IN}|{_CODE})",
    ),
    Rule(
        "EMAIL",
        f"(<EMAIL>|://(?:[^ /@:<>{_SEP}]{{1,30}}:)?[$%{{]*|[^{_W}]@|^@|^|{_ESCAPED}|[^{_EMAIL_CHAR}])([{_EMAIL_CHAR}]+(?:'[{_EMAIL_CHAR}]+){{0,2}}{_AT_DOMAIN}(?:[{_EMAIL_CHAR}]*{_AT_DOMAIN}){{0,3}})([(]?)",
        hint="@|%40",
        keep="\x03[+-]?git@|@[0-9]x[.]|[.](?:png|jpe?g|gif|svg|webp|js|json|css|html|xml|ya?ml|txt|log|service|socket|timer|target|slice|mount)\x04",
        keep_before="<[A-Z]|://|[^0-9A-Za-z]?@",
        alone=True,
    ),
    Rule(
        "HOME_USER",
        f"((?:(?:GET|POST|PUT|PATCH|DELETE|HEAD|route|endpoint) [\"']?|{_MASKED}|^|{_ESCAPED}|[^0-9A-Za-z_./-]|(?:^|\n)-|file:/{{1,2}}(?:localhost)?|vscode-remote://[0-9A-Za-z.+%_-]{{1,40}}|://file|[a-z]:/{{2,3}}|(?:^|[^0-9A-Za-z])/(?:export|var|usr|data|nfs|net|private/var|mnt/[0-9A-Za-z_-]{{1,20}}"
        f"|cygdrive/[a-z]|[a-z]|System/Volumes/Data|Volumes/[0-9A-Za-z_-]{{1,20}}))\\\\?/(?:home|Users)\\\\?/)({_NAME})()",
        hint=_H_HOME,
        keep="\x03(?:(?:Shared|Public|Default|Guest|linuxbrew|index|dashboard|page|pages|settings|[0-9]+|[0-9a-f]{8}-[0-9a-f-]{27})\x04|[^\x04]*[.](?:html?|php|aspx|jsp)\x04)",
        keep_before="(?:GET|POST|PUT|PATCH|DELETE|HEAD|route|endpoint) |<[A-Z]",
    ),
    Rule("HOME_USER", f"(%2[Ff](?:home|Users)%2[Ff])({_NAME})()", hint="%2[Ff](?:home|Users)%2"),
    Rule(
        "HOME_USER",
        f"({_WINDOWS_HOME})({_NAME}(?: {_NAME}){{1,2}})([\\\\/])",
        hint=_H_HOME,
        keep="\x03(?:All Users|Default User)\x04",
        keep_before="[^0-9A-Za-z:]/",
    ),
    Rule(
        "HOME_USER",
        f"({_WINDOWS_HOME})({_NAME})()",
        hint=_H_HOME,
        keep="\x03(?:Public|Default|All)\x04",
        keep_before="[^0-9A-Za-z:]/",
    ),
    Rule("HOME_USER", "((?:^|[ \"'=:(\x1e\x1f])~)([a-z][a-z0-9_-]{2,31})(/)", hint="~[a-z]"),
    Rule(
        "IBAN",
        f"({_MASKED}|^|{_ESCAPED}|[^{_W}])({_IBAN})([{_W}]*)",
        hint=_H_IBAN,
        keep_before="<[A-Z]",
        alone=True,
        check="iban",
    ),
    Rule(
        "IBAN",
        f"(^|[^{_W}])([A-Z]{{2}}[0-9]{{2}}(?:%20[0-9A-Z]{{4}}){{2,7}}(?:%20[0-9A-Z]{{1,3}})?)([{_W}]*)",
        hint="%20",
        alone=True,
        check="iban",
    ),
    Rule(
        "CARD",
        f"([0-9_]-|%B|{_MASKED}|^|{_ESCAPED}|[^{_W}.]|[^0-9][.])({_CARD_FORMS})((?:[.{_DASH}]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_DIGITS,
        need=_CARD_NETWORKS,
        keep_before="[0-9_]-|<[A-Z]",
        alone=True,
        check="luhn",
    ),
    Rule(
        "SSN",
        f"({_NUMBERED_EDGE}|{_MASKED}|^|{_ESCAPED}|[^{_W}.{_DASH}])([0-9]{{3}}[{_DASH}][0-9]{{2}}[{_DASH}][0-9]{{4}}|[0-9]{{3}} [0-9]{{2}} [0-9]{{4}})([ ][0-9A-Za-z_-]+[.][a-z]|(?:[.{_DASH}]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_DIGITS,
        keep=_NO_SSN,
        keep_before=_IS_NUMBERED,
        alone=True,
    ),
    Rule(
        "SSN",
        f"((?:^|[^A-Za-z]){_SSN_WORD}[^0-9\r\n\x1f]{{0,16}})([0-9]{{3}}[{_DASH}. ]?[0-9]{{2}}[{_DASH}. ]?[0-9]{{4}})((?:[.{_DASH}]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_DIGITS,
        keep=_NO_SSN,
        keep_before="<SSN>",
        alone=True,
    ),
    Rule(
        "MAC",
        f"({_MASKED}|^|{_ESCAPED}|[^{_W}:-])({_HEX}{{2}}(?:(?::{_HEX}{{2}}){{5}}|(?:-{_HEX}{{2}}){{5}}|(?:%3[Aa]{_HEX}{{2}}){{5}})|{_HEX}{{4}}[.]{_HEX}{{4}}[.]{_HEX}{{4}})((?:[.:-]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_COLONS,
        keep="\x03[0-9]{4}[.][0-9]{4}[.][0-9]{4}\x04|\x03[0-9]{2}-(?:0[0-9]|1[0-2])-[0-3][0-9]-[0-2][0-9]-[0-5][0-9]-[0-5][0-9]\x04",
        keep_before="<[A-Z]",
        alone=True,
    ),
    Rule(
        "MAC",
        f"({_MAC_WORD}(?:{_ASSIGN}{_QUOTE}?|[ ]))({_HEX}{{12}})([{_W}]*)",
        hint=f"{_MAC_WORD}(?:{_ASSIGN}|[ ])",
        alone=True,
    ),
    Rule(
        "IPV6",
        f"((?:{_MASKED}|[0-9A-Za-z_)\\]])\\[|{_MASKED}|^|{_ESCAPED}|[^{_W}])((?:(?:{_HEX}{{0,4}}:){{2,8}}{_HEX}{{1,4}}(?:(?:[.][0-9]{{1,3}}){{1,3}}|::)?|(?:{_HEX}{{1,4}}:){{1,7}}:)(?:%[0-9A-Za-z_.-]{{1,20}})?)((?:[.:]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_COLONS,
        need=f"(?:(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}(?::[0-9]{{2,5}})?|(?:{_HEX}{{1,4}}:){{6}}{_IP}|(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}})?::(?:{_HEX}{{1,4}}:){{0,5}}{_IP}"
        f"|(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}})?::(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}})?)(?:%[^\x04]*)?",
        keep="\x03(?:(?:[0-9A-Fa-f]{2}:){7,8}[0-9A-Fa-f]{2}|::[2-9]|[A-Fa-f]{1,4}::[A-Fa-f]{0,4}|[0-9]{1,3}::(?:[0-9]{0,3}|[A-Fa-f]{1,4})|[0-9]{4}::|(?:[013-9][0-9]{0,4}:){2}:|(?:[0-9]:){7}[0-9]|(?:[0-9]{2}:)+:[0-9]{2}|::[A-Fa-f]+)\x04",
        keep_before="[0-9A-Za-z_)\\]]\\[|<[A-Z]",
        alone=True,
    ),
    Rule(
        "IPV4",
        f"((?:(?:^|[^A-Za-z]){_VERSION_WORD}|[Vv]ersion)(?:[^0-9A-Za-z\r\n\x1f]{{1,6}}(?:(?:to|is|of|from)[ ])?)?(?:{_IP}(?:[ ,{_DASH}]{{1,2}}| to | or | and |->| -> | → )){{0,3}}|[A-Z][A-Za-z-]*/|[=<>~!^]=[ ]?|[(][=<>~]{{1,2}} |[A-Za-z]-|{_MASKED}|^|{_ESCAPED}|[^{_W}.])"
        f"({_IP})((?:[.]?(?:[{_W}]|{_MASKED}))*(?:[-+](?:alpha|beta|rc|dev|SNAPSHOT|final|release|preview|pre|[a-z][0-9])[0-9A-Za-z_.]*)?)",
        hint=_H_DOTS,
        keep_before=f"[^A-Za-z0-9\x03]?(?:(?:{_VERSION_WORD}|[Vv]ersion)[^A-Za-z]|[Vv]\x03)|[A-Z][A-Za-z-]*/|[=<>~!^]=|[(][=<>~]|[A-Za-z]-|<[A-Z]",
        alone=True,
    ),
    Rule(
        "PHONE",
        f"({_MASKED}|^|{_ESCAPED}|[^{_W}+.])((?:[+]|%2[Bb])(?:1{_GAP}[2-9][0-9]{{2}}{_GAP}[0-9]{{3}}{_GAP}[0-9]{{4}}|1[ .-]?555[ .-][0-9]{{4}}|{_CALLING_CODE}(?:{_GAP}[0-9]){{6,12}}[0-9]*){_EXTENSION})((?:[A-Za-z_%][{_W}]*|[ ]{_UNIT})?)",
        hint=_H_DIGITS,
        keep_before="<[A-Z]",
        need="(?:[^0-9\x04]*[0-9]){8}[^\x04]*",
        keep=f"\x04[^\x05]|\x03[+](?:[0-9]{{16}}|[0-9]{{1,3}}[.][0-9]{{4,8}}\x04|{_DATE})",
    ),
    Rule(
        "PHONE",
        f"({_NUMBERED_EDGE}|[0-9] |{_MASKED}|^|{_ESCAPED}|[^{_W}+.{_DASH}])((?:00|011[ -]){_CALLING_CODE}[ ./(){_DASH}]{{1,3}}[0-9](?:{_GAP}[0-9]){{5,11}}[0-9]*{_EXTENSION}"
        f"|00(?:4[013-9]|3[0-469]|35[138]|420|9[178]|8[16]|61|971)[0-9]{{8,11}})([{_W}]*)",
        hint=_H_DIGITS,
        keep=f"\x03[^\x04]*{_DATE}",
        keep_before=f"{_IS_NUMBERED}|[0-9] ",
        alone=True,
    ),
    Rule(
        "PHONE",
        f"((?:^|[^A-Za-z]|[a-hj-z]){_PHONE_WORD})([(]?[0-9](?:{_GAP}[0-9]){{6,13}}{_EXTENSION})((?:[.{_DASH}]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_DIGITS,
        keep=f"\x03(?:{_DATE}|[0-9]+[.][0-9]+|[0-9]{{1,3}}(?:[.][0-9]{{1,3}}){{3}}|[0-9]{{14,}})\x04|[_ ][Ii][Dd][^A-Za-z\x03]*\x03|[a-z]Id[^A-Za-z\x03]*\x03",
        keep_before="<PHONE>",
        alone=True,
    ),
    Rule(
        "PHONE",
        f"({_NUMBERED_EDGE}|{_MASKED}|^|{_ESCAPED}|[^{_W}+.{_DASH}/])((?:1[ .{_DASH}])?(?:[(][0-9]{{3}}[)][ .{_DASH}]{{0,2}}|[0-9]{{3}}[ .{_DASH}/])[0-9]{{3}}[ .{_DASH}][0-9]{{4}}{_EXTENSION})((?:[.{_DASH}]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_DIGITS,
        keep="\x03(?:[01][0-9]{2} [0-9]{3} |[0-9]{3} [01][0-9]{2} )[0-9]{4}",
        keep_before=_IS_NUMBERED,
        alone=True,
    ),
    Rule(
        "PHONE",
        f"((?:^|[^A-Za-z]){_CALL_WORD}{_CALL_GAP})((?:[18] )?[(]?[0-9]{{2,5}}[)]?[ ./{_DASH}]{{1,3}}[0-9]{{2,4}}(?:[ .{_DASH}]?[0-9]{{2,4}}){{0,4}}{_EXTENSION}|0[0-9]{{9,10}}|[2-9][0-9]{{9}})((?:[.{_DASH}]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_DIGITS,
        need="(?:[^0-9\x04]*[0-9]){7}[^\x04]*",
        keep=f"\x03(?:{_DATE}|[0-9]+[.][0-9]+)\x04",
        alone=True,
    ),
    Rule(
        "PHONE",
        f"({_NUMBERED_EDGE}|[0-9] |{_MASKED}|^|{_ESCAPED}|[^{_W}+.{_DASH}/])(0[1-9](?:(?: [0-9]{{2}}){{4}}|(?:[.][0-9]{{2}}){{4}}|(?:-[0-9]{{2}}){{4}})|0[1-9][0-9]{{1,3}}[ {_DASH}][0-9]{{3,4}}[ {_DASH}][0-9]{{3,4}}"
        f"|0[1-9][0-9]{{2,3}}[ /{_DASH}][0-9]{{6,8}}|[(]0[0-9]{{1,4}}[)][ ]?[0-9]{{3,4}}[ {_DASH}]?[0-9]{{3,5}}|[(][1-9][0-9][)] ?9?[0-9]{{4}}[ {_DASH}][0-9]{{4}})((?:[.{_DASH}]?(?:[{_W}]|{_MASKED}))*)",
        hint=_H_DIGITS,
        keep=f"\x03[^\x04]*{_DATE}",
        keep_before=f"{_IS_NUMBERED}|[0-9] ",
        alone=True,
    ),
)

# Python ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    find: re.Pattern[str]
    unmark: re.Pattern[str] | None
    mask: re.Pattern[str]


@cache
def _compiled(rule: Rule) -> _Compiled:
    return _Compiled(
        rule, re.compile(rule.find), re.compile(rule.unmark) if rule.unmark else None, re.compile(rule.mask)
    )


_HINTS = tuple(dict.fromkeys(rule.hint for rule in RULES))
_FIRST = {_H_DIGITS: f"[0-9](?:[ \u00a0._/(){_DASH} ]{{0,3}}[0-9]){{6}}"}
"""What `re`, which scans a long alternation slowly, looks for before a hint: whatever has the hint and is masked has this."""
_HINT_PATTERNS = tuple(
    (hint, re.compile(_FIRST[hint]) if hint in _FIRST else None, re.compile(hint)) for hint in _HINTS
)
_NOT_ALNUM = re.compile("[^0-9A-Za-z]")
_MARKS_TO_BLANKS = str.maketrans(_MARKS, " " * len(_MARKS))
_NO_MARKS = str.maketrans("", "", _MARKS)
_HEX_TO_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


def luhn_holds(digits: str) -> bool:
    """Tell whether a string of decimal digits carries a valid Luhn check digit."""
    doubled = [
        int(c) if i % 2 == 0 else (int(c) * 2 - 9 if c > "4" else int(c) * 2)
        for i, c in enumerate(reversed(digits))
    ]
    return sum(doubled) % 10 == 0


def iban_holds(iban: str) -> bool:
    """Tell whether letters and digits, in any case, form an account number whose remainder by 97 is 1."""
    remainder = 0
    for c in (iban[4:] + iban[:4]).upper():
        value = ord(c) - 48 if c <= "9" else ord(c) - 55
        remainder = (remainder * (100 if value > 9 else 10) + value) % 97
    return remainder == 1


def _checked(rule: Rule, text: str) -> str:
    """Take the marks off the matches whose check fails."""
    if not rule.check:
        return text
    holds = luhn_holds if rule.check == "luhn" else iban_holds
    head, *pieces = text.split("\x02")
    return head + "".join(
        (
            "\x02"
            if holds(_NOT_ALNUM.sub("", piece.split("\x03")[1].split("\x04")[0].replace("%20", "")))
            else ""
        )
        + piece
        for piece in pieces
    )


def _apply(compiled: _Compiled, text: str) -> str:
    rule = compiled.rule
    if rule.is_plain:
        return compiled.find.sub(rf"\1<{rule.entity}>\3", text)
    text = compiled.find.sub(_MARKED, text)
    if "\x02" not in text:
        return text
    if compiled.unmark:
        text = compiled.unmark.sub(r"\1", text)
    return compiled.mask.sub(rf"\1<{rule.entity}>\2", _checked(rule, text)).translate(_NO_MARKS)


def redact(text: str) -> str:
    """Return `text` with every entity replaced by its placeholder, e.g. `<EMAIL>`; `<UNREDACTABLE>` if a rule crashes on it."""
    try:
        found = {
            hint
            for hint, first, pattern in _HINT_PATTERNS
            if (first is None or first.search(text)) and pattern.search(text)
        }
        if found:
            text = text.translate(_MARKS_TO_BLANKS)
        for rule in RULES:
            if rule.hint in found:
                text = _apply(_compiled(rule), text)
    except Exception:  # fails closed: whatever went wrong, the raw text must not pass
        return UNREDACTABLE
    return text


def redact_with_counts(text: str) -> tuple[str, dict[str, int]]:
    """Return the redacted text and how many values of each entity were masked in it."""
    redacted = redact(text)
    before, after = (Counter(re.findall("<([A-Z_0-9]+)>", one)) for one in (text, redacted))
    return redacted, {
        entity: after[entity] - before[entity]
        for entity in (*ENTITIES, UNREDACTABLE[1:-1])
        if after[entity] > before[entity]
    }


def residue(text: str) -> list[str]:
    """Return the entities that are still found in a text that should hold none, in rule order."""
    return list(redact_with_counts(text)[1])


def pseudonym(value: str, secret: bytes) -> str:
    """Return a stable stand-in for an id: `id-` and 64 bits of HMAC-SHA256 (RFC 2104) under a local secret, as 16 letters from `a` to `p`.

    No digits, since sixteen of them can be an account number (`be` and fourteen digits), which the rules would find in turn.
    """
    return "id-" + hmac.new(secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[
        :16
    ].translate(_HEX_TO_LETTERS)


def redact_id(value: str, secret: bytes) -> str:
    """Return an id as it is, or its pseudonym when it holds personal data (an e-mail address as a node id, say)."""
    return value if redact(value) == value else pseudonym(value, secret)


# SQL ------------------------------------------------------------------------------------------------------------------


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _hint_sql(hint: str, column: str) -> str:
    if not _is_pattern(hint):  # only words: no pattern needed
        return "(" + " or ".join(f"contains({column}, {_literal(word)})" for word in hint.split("|")) + ")"
    return f"regexp_matches({column}, {_literal(hint)})"


def _replace_sql(text: str, find: str, template: str) -> str:
    return f"regexp_replace({text}, {_literal(find)}, {_literal(template)}, 'g')"


def _judge_sql(rule: Rule, column: str) -> str:
    """Mask or unmark the marked matches of one rule."""
    text = _replace_sql(column, rule.unmark, r"\1") if rule.unmark else column
    if rule.check:
        # No pattern within the lambda: DuckDB would compile it anew for each chunk.
        value = f"translate(replace(string_split(string_split(p, chr(3))[2], chr(4))[1], '%20', ''), {_literal(_DIGIT_SEPARATORS)}, '')"
        holds = _luhn_sql(value) if rule.check == "luhn" else _iban_sql(value)
        text = f"array_to_string(list_transform(string_split({text}, chr(2)), lambda p, i: case when i > 1 and {holds} then chr(2) || p else p end), '')"
    masked = _replace_sql(text, rule.mask, rf"\1<{rule.entity}>\2")
    return (
        f"case when contains({column}, chr(2)) then translate({masked}, {_MARKS_SQL}, '') else {column} end"
    )


def _luhn_sql(digits: str) -> str:
    doubled = "case when j % 2 = 1 then c::int when c > '4' then c::int * 2 - 9 else c::int * 2 end"
    return f"list_sum(list_transform(string_split(reverse({digits}), ''), lambda c, j: {doubled})) % 10 = 0"


def _iban_sql(value: str) -> str:
    turned = f"upper(substr({value}, 5) || left({value}, 4))"
    values = f"list_transform(string_split({turned}, ''), lambda c: case when c <= '9' then ascii(c) - 48 else ascii(c) - 55 end)"
    return f"list_reduce({values}, lambda a, b: (a * case when b > 9 then 100 else 10 end + b) % 97, 0) = 1"


_DIGIT_SEPARATORS = " \u00a0._ " + _DASH.replace("\\", "")
_MARKS_SQL = "chr(2) || chr(3) || chr(4) || chr(5)"


def _is_pattern(hint: str) -> bool:
    return bool(re.search(r"[\\\[(?*+.{]", hint))


def redact_select(
    source: str, columns: Sequence[str], *, rules: Sequence[Rule] = RULES, fast: bool = True
) -> str:
    """Return a SELECT that yields `source` with these text columns redacted as `redact` does, all else unchanged; null stays null.

    Nested SELECTs, two a rule, since nested expressions of one SELECT would be copied into each other. Each hint is looked for once, in the text as it came.

    Args:
        source: a table name, or a SELECT in parentheses; our own text, never telemetry.
        columns: names of VARCHAR columns of it.
        rules: those of RULES to apply; each costs time in every row, also where its hint is absent.
        fast: whether to skip rules whose hint is absent; without it every rule looks at every text (for tests).
    """

    def level(steps: list[str], inner: str) -> str:
        return f"select * replace ({', '.join(steps)}) from ({inner})"  # noqa: S608 - our own patterns and column names

    def step(text: str, flag: str, changed: str) -> str:
        return f"case when {flag}_{text} then coalesce(try({changed}), '{UNREDACTABLE}') else {text} end as {text}"

    hints = list(dict.fromkeys(rule.hint for rule in rules))
    flags = {
        f"_hint_{i}_{text}": _hint_sql(hint, text) if fast else "true"
        for i, hint in enumerate(hints)
        for text in columns
    }
    sql = f"select *, {', '.join(f'{text} is not null and ({test}) as {flag}' for flag, test in flags.items() for text in [flag.split('_', 3)[3]])} from {source}"  # noqa: S608
    hits = {text: " or ".join(f"_hint_{i}_{text}" for i in range(len(hints))) for text in columns}
    sql = level(
        [
            f"case when {hit} then translate({text}, {_MARKS_SQL}, '    ') else {text} end as {text}"
            for text, hit in hits.items()
        ],
        sql,
    )
    for rule in rules:
        flag = f"_hint_{hints.index(rule.hint)}"
        template = rf"\1<{rule.entity}>\3" if rule.is_plain else _MARKED
        sql = level([step(text, flag, _replace_sql(text, rule.find, template)) for text in columns], sql)
        if not rule.is_plain:
            sql = level([step(text, flag, _judge_sql(rule, text)) for text in columns], sql)
    return f"select * exclude ({', '.join(flags)}) from ({sql})"  # noqa: S608
