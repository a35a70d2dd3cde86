"""Secrets by their place in a line of a configuration, a protocol or a form, as tables.

A line is: pattern of what stands before | example, where the value stands between `‹` and `›`. A new form is
one line here and nothing elsewhere. In a pattern `␣` is a blank, in an example `§` a bar.
"""

from fl_assets.events.redaction.blocks import MIXED, ODD, SEP, SIGNS, STAND_IN
from fl_assets.events.redaction.rule import Rule, Unless

_NAME = r'[^" \r\n\t<]{1,60}'
_PROMPT = r"(?:^|[\r\n]|[>:|$%#=*-] |=|`)"
_PASSWORDS = rf"""
rootpw␣(?:--plaintext␣)? | rootpw --plaintext ‹Tulip7Krokus›
:␣(?:PSK|XAUTH|EAP)␣" | %any : PSK "‹Tulip7Krokus›"
snmp-server␣community␣ | snmp-server community ‹Tulip7Krokus› RO
(?:rocommunity|rwcommunity)␣ | rwcommunity ‹Tulip7Krokus› net
(?:radius|tacacs)(?:-server)?␣key␣(?:[0-9]␣)? | radius-server key ‹Tulip7Krokus›
message-digest-key␣[0-9]{{1,3}}␣md5␣ | ip ospf message-digest-key 1 md5 ‹Tulip7Krokus›
[\r\n]␣{{1,4}}key␣(?:[0-9]␣)? | tacacs server T\n key 0 ‹Tulip7Krokus›
pre-shared-key=["']? | wpa2-pre-shared-key=‹Tulip7Krokus›
keyMaterial(?:>|=["']) | <keyMaterial>‹Tulip7Krokus›</keyMaterial>
[A-Z0-9]_AUTH=["']?[a-z][a-z0-9_]{{1,30}}[:/] | NEO4J_AUTH=neo4j/‹Tulip7Krokus›
334␣[^\r\n<]{{0,60}}\r?\n(?:C:␣|>␣)? | AUTH LOGIN\n334 UGFzc3dvcmQ6\n‹dHVsaXA3a3Jva3Vz›
\[[0-9A-Za-z.-]{{1,60}}\]:[0-9]{{2,5}}␣[0-9A-Za-z_.@-]{{1,60}}: | [mail.x.io]:587 bot:‹Tulip7Krokus›
auth-user-pass\r?\n{_NAME}\r?\n | auth-user-pass\nanna\n‹Tulip7Krokus›
(?:^|[^0-9A-Za-z/.-])(?:admin|root|[Aa]dministrator|postgres|elastic|guest|sa|demo): | x admin:‹Tulip7Krokus›
(?:secret|password|key-string|md5)␣[0-9]␣ | enable password 7 ‹0822455D0A16›
plain-text-password(?:-value)?␣"? | set root plain-text-password-value "‹Tulip7Krokus›"
psksecret␣(?:ENC␣)?"? | set psksecret ENC ‹Tulip7Krokus›
(?:l2tp|pptp|chap|ike|ipsec)␣secret␣ | l2tp secret ‹Tulip7Krokus›
(?:isakmp␣key|set_network␣[0-9]{{1,3}}␣psk␣')␣?"? | crypto isakmp key ‹Tulip7Krokus› address x
(?:ascii-text|wpa-passphrase|wpa-psk)␣"? | pre-shared-key ascii-text "‹Tulip7Krokus›"
(?:SETUSER|user)␣{_NAME}␣(?:(?:on|off|reset|[~+&@-][^\s<>]{{0,30}})␣){{1,6}}> | user b on >‹Tulip7Krokus›
chpasswd:[^<>]{{0,40}}\n\s*(?:-␣)?[a-z][a-z0-9_-]{{0,30}}: | chpasswd:\n  list: §\n    root:‹Tulip7Krokus›
"{_NAME}"␣+[*]␣+" | "anna" * "‹Tulip7Krokus›" *
{_PROMPT}(?:HELLO␣[23]␣)?AUTH␣(?:[A-Za-z][0-9A-Za-z_.-]{{0,30}}␣)?"? | AUTH ‹Tulip7Krokus›
"AUTH"␣(?:"{_NAME}"␣)?" | [0 unix:x] "AUTH" "‹Tulip7Krokus›"
"HELLO"␣"[23]"␣"AUTH"␣"{_NAME}"␣" | "HELLO" "3" "AUTH" "app" "‹Tulip7Krokus›"
d-i␣passwd/[a-z-]{{1,40}}␣password␣ | d-i passwd/root-password password ‹Tulip7Krokus›
username␣{_NAME}␣(?:privilege␣[0-9]{{1,2}}␣)?(?:secret|password)␣ | username anna secret ‹Tulip7Krokus›
assword:?["']?[^\r\n<]{{0,20}}send(?:_?line)?[␣(]{{1,2}}(?:--␣)?["'] | "assword:" {{ send "‹Tulip7Krokus›" }}
{_PROMPT}(?:quote␣)?PASS␣ | ftp> quote PASS ‹Tulip7Krokus›
{_PROMPT}(?:[A-Za-z]?[0-9]{{0,4}}␣)?LOGIN␣(?:{_NAME}|"{_NAME}")␣"? | a1 LOGIN anna ‹Tulip7Krokus›
["'](?:password|passwd|pwd)["'],␣?["'] | [('password', '‹Tulip7Krokus›')]
[Pp]ass(?:word)?␣encoding="[a-z0-9]{{1,12}}"> | <Pass encoding="base64">‹UGlrYWNodTIwMDMh›</Pass>
(?:password|pwd):␣<%=␣ENV[^\r\n<>]{{1,60}}[|]{{2}}␣["'] | password: <%= ENV['X'] §§ '‹Tulip7Krokus›' %>
,password\r?\n[^\r\n<]{{1,80}}, | id,user,password\n1,anna,‹Tulip7Krokus›
<Key>Password</Key>\s{{0,8}}<Value[^<>]{{0,40}}> | <Key>Password</Key><Value>‹Tulip7Krokus›</Value>
[.]vnc␣password␣ | ~/.vnc password ‹Tulip7Krokus›
(?:openvpn|auth)[.-]?(?:auth)?[.](?:txt|conf)\r?\n{_NAME}\r?\n | auth.txt\nanna\n‹Tulip7Krokus›
"""
_KEYS = r"""
(?:api_?key|private_?key|auth_?key|secret_?key)[a-z_]{0,12}␣?["'] | apikey "‹E4NfHLwrpj44emUoTcsxyD3›";
(?:^|[^A-Za-z])encrypt␣?=␣?" | encrypt = "‹Z6ZAhu7ftw4kGNAjT2G6eA8E42XUYO7StvDQrIwQDts=›"
[Ss]ecret␣?ID␣*[:=]␣* | Secret ID = ‹c3b1b0b7-e775-4c01-a716-c22cbc0b9e08›
mc␣(?:alias␣set|config␣host␣add)␣(?:[^\s]{1,80}␣){3} | mc alias set m https://h AKID ‹k3s4kIfOK3azUkeFnDG7›
(?:^|[^A-Za-z])(?:SALT|PEPPER)= | SALT=‹E4NfHLwrpj44emUoTcsxyD3›
[Xx]-[Gg]otify-[Kk]ey:␣ | X-Gotify-Key: ‹AP3r3o6DhYlV_nd›
"username":␣?"[^"\r\n<]{1,60}",␣?"key":␣?" | {"username":"anna","key":"‹2c02f011af85741ccf1196becadc3ecd›"}
[?&]_?csrf(?:_token)?= | a=1&csrf=‹6a0db8679aad2b9b0b8c930d5f062009›
[?&]state=[0-9A-Za-z_.~%-]{1,80}&code= | /cb?state=x&code=‹dbfa7d344e6aa6d2ab05›
kubeadm␣[^\r\n<]{0,80}?--token␣ | kubeadm join h:6443 --token ‹f4dugp.1n4rvlrnuda7xmoj›
_(?:SALT|PEPPER)= | API_TOKEN_SALT=‹E4NfHLwrpj44emUoTcsxyD==›
PVEAPIToken=[^\s=<!]{1,60}![^\s=<]{1,40}= | PVEAPIToken=root@pam!ci=‹3c792a22-3b3c-8b21-86bb-7c584fd8ebf2›
_DEPLOY_KEY="?(?:prod|dev):[a-z0-9-]{3,60}[|] | X_DEPLOY_KEY="prod:owl-123§‹ZpIqnohtbfpxzV8NeJGXdR›"
https?://[^\s/<"']{3,80}/hooks/ | https://chat.x.io/hooks/‹4f9a1c7e0b3d86254f9a1c7e0b›
https?://[^\s/<"']{3,80}/api/webhook/ | https://ha.x.io/api/webhook/‹4f9a1c7e0b3d86254f9a1c7e0b›
"""


def _table(
    entity: str, table: str, value: str, need: str, unless: tuple[str | Unless, ...], stays: tuple[str, ...]
) -> Rule:
    r"""Return the rule of a table; in an example `§` is a bar and `\n` the end of a line."""
    rows = [line.split(" | ") for line in table.strip().splitlines()]
    kinds = tuple(before.replace("␣", " ") for before, _ in rows)
    return Rule(
        entity,
        f"((?:{'|'.join(kinds)}))({value})()",
        examples=tuple(example.replace("§", "|").replace("\\n", "\n") for _, example in rows),
        stays=stays,
        need=need,
        unless=unless,
        apart=entity == "PASSWORD",
        kinds=kinds,
    )


RULES = (
    _table(
        "PASSWORD",
        _PASSWORDS,
        f"[^ \t\r\n\"'`<>|\\\\{SEP}]{{6,}}",
        f"(?:{SIGNS}|{ODD}|[0-9A-F]{{12}}|[A-Z]{{2,}}[a-z]+[A-Z]).*",
        (
            STAND_IN,
            "[A-Z]+_[A-Z_]+$",
            Unless(before=".*(?:AUTH|LOGIN|PASS).*", value="[A-Za-z]+[_-][0-9]+$|test[_:/]|.*::"),
            "[^ ]{1,40}:[$x*!]",
            Unless(before=".*[a-zA-Z]:", value="/|[^:]*:|[0-9.-]+$|v?[0-9]+[.]"),
            Unless(before=".*(?:AUTH|LOGIN|PASS).*", value="[0-9.]+m?s$"),
            ".*[.](?:txt|log|json|csv|py|sh|out)$",
            "[A-Za-z_.-]+:[0-9]+$|[A-Za-z_]+[.][0-9]$",
            ".*(?:://|@)",
            "[0-9]{4}-[0-9]{2}-",
        ),
        (
            "snmp-server community public RO",
            "AUTH required for user",
            "LOGIN anna failed-3",
            "user default on >= 7.2.1",
            "etl user bot >output2A.txt",
            '"a" * "b2"',
        ),
    ),
    _table(
        "API_KEY",
        _KEYS,
        "[0-9A-Za-z_.~+/=%-]{15,}",
        f"{MIXED}.*",
        (STAND_IN, "[A-Za-z]+(?:[_.-][A-Za-z0-9]{1,12}){0,6}$", ".*[.][a-z]{2,4}$"),
        (
            '{"username": "anna", "key": "user_profile_settings"}',
            "https://x.io/hooks/use-long-state-v2/index2.js",
        ),
    ),
)
