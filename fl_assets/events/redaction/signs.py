"""Signs that a secret may stand at a place of a line, from strong to weak.

What goes here: what is looked for before and behind a value that `surprise.py` has graded. What does not:
which words of a text are looked at (`shapes.py`). A sign names no program: flags, pairs of a name and a
value, calls, and words about logins in a dozen languages.
"""

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.blocks import SEP
from fl_assets.events.redaction.passwords import LONG_WORD as _NAMED
from fl_assets.events.redaction.passwords import UNCASED_WORD
from fl_assets.events.redaction.rule import any_case
from fl_assets.events.redaction.surprise import LIKELY, SURE, WEAK

_SECRET = any_case(
    "(?:pass(?:wd|phrase|code|key|es|)|assword|pwd?|psw|psk|secret(?:s|value|key|)|cred(?:ential)?s?"
    "|auth(?:n|z|enticate|entication|enticator|orize|orization|_user|)|log(?:-| |)(?:in|on)"
    "|sign(?:-| |)(?:in|on)|unlock|unseal|key(?:chain|store|ring|pass|material| ?content)|vault|sudo|kinit"
    "|ldap|securestring|plain_?text|pscredential|community|pin|wi-?fi|wlan|wpa[0-9]?|ssid|access|otp|bind|obscure"
    "|decrypt|encrypt|proxy|zugang|zugangsdaten|anmelden|anmeldung|identifiants?|connexion|acceso|credenciales"
    "|accesso|credenziali|acesso|toegang|inloggen|dostęp|přístup|giriş|вход|доступ|логин|reset|temporary|temp"
    "|initial|default)"
)
_USER = any_case(
    "(?:(?:set)?user(?:name|add|mod|s|)|admin(?:istrator|s|)|root|account|sa|usr|uid|member|usuario|benutzer"
    "|utilisateur|utente)"
)
_SERVICE = any_case(
    "(?:eap|xauth|chap|pap|ntlm|radius|tacacs|kerberos|snmp|smtp|imap|pop3|s?ftp|ssh|vpn|ipsec|ike|l2tp|smb|rdp"
    "|vnc|bmc|ipmi|sasl|jdbc|odbc|dsn|backup|archive|zip|keys?|token|session|cookie|webhook|licen(?:c|s)e|salt"
    "|pepper|sign(?:ing|ature)?|hmac|shared|join|api)"
)
_KEY = any_case(
    "(?:keys?|apikey|token|jwt|secrets?|auth|authorization|bearer|credentials?|sig|sign(?:ing|ed|ature)?|hmac"
    "|sess(?:ion)?|cookie|csrf|(?:web)?hooks?|licen(?:c|s)e|salt|pepper|encrypt(?:ion)?|api|pat|dsn|assertion"
    "|ticket|invite|magic|share)"
)
LONG_WORD = f"(?:{_NAMED}|{any_case('(?:haslo|clave|parolası?|şifresi|sifre)')}|{UNCASED_WORD})"
_EDGE = "(?:^|[^0-9A-Za-z]|[a-z_-])"
_NAME = "(?:[0-9A-Za-z_][0-9A-Za-z_.@\\\\/-]{0,40}|<EMAIL>)"
_QUOTE = "\\\\{0,7}[\"'`]?"
_USER_FLAG = f"(?:-[uUliD]|--?(?:user(?:name)?|login|account)|[-/]u(?:ser)?)(?:[ :=]{_QUOTE}|){_NAME}[\"'`]?"
_FLAG = "(?:-{1,2}[A-Za-z][A-Za-z-]{0,24}|/[A-Za-z]{1,12})"
_LINE = f"[^\r\n{SEP}]"
_NAMES = f"(?:(?:-{{0,2}}{_NAME}){_QUOTE}[ ,:/%(]{{1,2}}{_QUOTE}){{0,3}}"
_CALLS = (
    "(?:[Ll]ogin|[Ll]ogon|[Aa]uth[A-Za-z_]*|[Cc]onnect[A-Za-z]*|[Cc]red[A-Za-z]*|[Oo]pen|PDO|[Pp]assw[A-Za-z]*"
    "|mysqli?|[Ww]i[Ff]i[.][a-z]+|[Hh]ash[A-Za-z]*|[Ss]ecret[A-Za-z.]*|[Bb]ind)"
)
_SAYS = "(?:echo|printf|send|sendline|type|enter)(?: -[neE]+)?"
_SET = "(?:(?:re)?set|changed|switched|updated) (?:(?:it|mine|this|that) )?(?:from [^ ]{4,30} )?(?:to|from)"
_SECRET_OR_PASSWORD = f"{_EDGE}(?:{_SECRET}|{LONG_WORD})"
_THEN = f"{_QUOTE}[ ,:]{{1,2}}[>]?{_QUOTE}"

_SIGNS = {
    WEAK: (
        f"{_USER_FLAG} (?:{_LINE}{{0,80}} )?{_FLAG}[ :=]?{_QUOTE}",  # -u anna -x
        f"(?:^|[ (\"'`])[-/](?:[pPwWkKasNX]|[hr]p|RP)[ :=]?{_QUOTE}",  # -p
        f"(?:^|[^0-9A-Za-z])(?:-[uUa]|--(?:[a-z]+-)?(?:user|auth))[ =]?{_QUOTE}{_NAME}[:%,]{_QUOTE}",
        f"<<< ?{_QUOTE}|(?:^|[ :]){_NAME} / |(?:^|[^0-9A-Za-z])[0-9a-f]{{32,64}}:",
        f'(?:^|[ :>])"{_NAME}" (?:[*] )?"',  # "anna" "
        f"{_EDGE}{_USER}(?:[_ ][a-z-]{{1,12}}){{0,2}}[ :]{{1,2}}{_QUOTE}{_NAME}{_THEN}",
        f"{_EDGE}{_USER}:{_QUOTE}",
        f"(?:^|[ /\\\\]){_NAME}:{_QUOTE}",  # anna:
        f"{_SECRET_OR_PASSWORD}[A-Za-z_]{{0,12}}[\"'`]?(?: {{4,16}}:)?[ :=,>({{]{{1,3}}{_QUOTE}{_NAMES}[>]?"
        f"{_QUOTE}",
        f"{_SECRET_OR_PASSWORD}{_LINE}{{0,40}}(?:{_SAYS}| {_FLAG})[ =(]{{1,2}}{_QUOTE}",
        f'{_SECRET_OR_PASSWORD}{_LINE}{{0,120}}"(?:text|value|input|keys)\\\\{{0,3}}": ?\\\\{{0,3}}"',
        f"(?:^|[^A-Za-z])(?:typed|entered|tried|{_SET}) {_QUOTE}",
        f"{_CALLS}[(][^()\r\n]{{0,80}}[\"']",  # connect('db', '
    ),
    LIKELY: (
        f"{_EDGE}(?:{_SECRET}|{_USER}|{LONG_WORD})(?:[^0-9A-Za-z]{_LINE}{{0,40}})?[ :=,/>(\"'`@%\\\\]",
        f"(?:^|[ (\"'`]){_FLAG}[ =:]{_QUOTE}",
        f"(?:^|[ \"'\\\\]){_NAME}:{_QUOTE}",
    ),
    SURE: (
        f"{_EDGE}(?:{_SECRET}|{_USER}|{_SERVICE}|{LONG_WORD})(?:[0-9]?[^0-9A-Za-z].*)?",
        "[(][^()\r\n]{0,80}[\"']",
        f"(?:^|[ (\"'`]){_FLAG}(?:[ :=]{_LINE}{{0,30}})?",
    ),
}
"""What may stand before a value of a grade, or of a higher one."""
stands_before = {
    found: linear.searcher(
        f"(?s)(?:{'|'.join(sign for least, signs in _SIGNS.items() if least <= found for sign in signs)})$"
    )
    for found in _SIGNS
}
_USER_BEHIND = (
    "^[\"'`]? (?:-u|--user(?:name)?|/user)[ :=]"
    f"|^[\"'], ?[a-z_]{{1,16}}[=:] ?[\"'][^\"'\r\n]{{0,30}}{LONG_WORD}"  # of an action
)
stands_behind = {
    WEAK: linear.searcher(_USER_BEHIND),
    LIKELY: linear.searcher(_USER_BEHIND),
    SURE: linear.searcher(f"{_USER_BEHIND}|^{_LINE}*[^0-9A-Za-z](?:{_SECRET}|{LONG_WORD})(?:[^0-9A-Za-z]|$)"),
}
is_pair = linear.searcher(f"(?:^|[ :\"'\\\\/]){_NAME}[:/][\"']?$")
"""Whether a name stands before a value, of which an `@` is to make a secret."""
has_column = linear.searcher(
    f'(?s)(?:^|[\n|,;\t "])(?:[a-z]{{1,8}}_)?(?:{_SECRET}|{LONG_WORD})[ "]*[|,;\t\r\n].*[\n|,;\t][ "]*$'
    f"|[$#>] [^\n]*(?:{_SECRET}|{LONG_WORD})[^\n]*\n$"  # what a command printed
    f"|(?:{LONG_WORD}s?|[Aa]ccounts|[Ll]ogins)[^\n]{{0,20}}\n(?:[^\n]*\n){{0,2}}[^\n]*[ \t]$"  # a list
    f"|(?:{_SECRET}|{LONG_WORD})[^\n]*\n[^\n]*(?:{_SAYS})[ (]{{1,2}}[\"']$"
)
"""Whether the lines above have a column for secrets, and the value stands in a column."""
names_other = linear.searcher(
    "(?:(?:^|[^A-Za-z])(?:[A-Za-z]+[_.-])*(?:[Ii]ds?|IDs?)|[a-z](?:Id|ID)s?)[\"'`]?[ :=#]{1,3}[\"'`]?$"
    "|(?:^|[^A-Za-z])(?:[A-Za-z_.-]*(?:[Hh]ash|sha[0-9]*|[Dd]igest|[Cc]hecksum|[Ee][Tt]ag|[Cc]ommit"
    "|[Uu]uid|[Nn]once|[Cc]ursor|[Vv]ersion|[Rr]evision|[Ff]ingerprint|[Rr]ef|[Ii]mage|[Bb]ranch|[Mm]odel|[Pp]od"
    "|[Tt]race|[Ss]pan|[Rr]equest|[Rr]un|[Oo]rder|[Bb]uild|[Jj]ob|[Tt]ask|[Ff]ile|[Ff]older|[Pp]ath|[Dd]ir|[Hh]ost"
    "|[Nn]ode|[Ii]nstance|[Oo]bject|[Bb]lock|[Ee]vent|[Mm]essage|[Tt]hread|[Pp]latform|[Mm]ethod|[Aa]lgorithm"
    "|[Tt]ype|[Cc]lass|[Mm]odule|[Ff]unction|[Tt]est|[Rr]eservations?|[Ww]eb[Ss]ocket-(?:Key|Accept)"
    "|(?:[Pp]age_?|[Nn]ext[_ ]?(?:[Pp]age[_ ]?)?|[Ss]ync[_ ]?|[Cc]ontinuation[_ -]?)[Tt]oken"
    "|[Pp]ublic[ _-]?[Kk]ey|PUBLIC_KEY))"
    "[\"'`]?[ :=#]{1,3}[\"'`*]{0,3}$"
    "|[0-9A-Za-z+/]{20,}/$|SHA256:$|h1:$|[Bb]ase64[:, ]{1,2}$|[)][.]base[(][\"']$"
)
"""Whether the word before a value says that it is an id, a hash or a name, or it is a part of base64."""
goes_on = linear.searcher(
    "^(?:[/=+][0-9A-Za-z+/=]{16}|==?[^0-9A-Za-z]|==?$|[(=]|[\"'`]? ?:(?:[ \"'`\\\\]|$)|[\"'`] ?=)"
)
"""Whether a word is a part of something longer, or a value follows it, so that it is a name."""
has_key_column = linear.searcher(f'(?s)[|,;\t]\\s*{_KEY}\\s*[|,;\t\r\n].*[\n|,;\t][ "]*$')
key_stands_before = linear.searcher(
    f"(?:Fernet|Client|Cipher|AES|HMAC|hmac)[A-Za-z.]*[(]b?[\"']$|{_EDGE}{_KEY}(?:[^0-9A-Za-z].{{0,60}})?[^0-9A-Za-z]$"
)
key_stands_right_before = linear.searcher(f"{_EDGE}{_KEY}[A-Za-z_]{{0,12}}[^0-9A-Za-z]{{1,4}}$")
key_stands_behind = linear.searcher(
    f"^[^0-9A-Za-z].{{0,24}}[^0-9A-Za-z]{any_case('(?:api|access|secret|auth|license) ?(?:key|token)')}"
)
