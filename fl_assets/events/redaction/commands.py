"""Passwords in commands: tables of programs with the flags that take one, and of places without a flag.

A new program is one line here and nothing elsewhere. A line of flags is: programs | flags | example, with a
blank between programs and between flags, which are RE2's patterns (`␣` is a blank in one). A value stands
behind a blank, `=` or a quote; behind a flag that ends in `…` at once. Flags like `--password` have a rule
of their own (`passwords.py`). A line of places is: pattern | example, where `…` is any part of a line. In an
example the value stands between `‹` and `›`. Sources: the programs' own manuals.
"""

from collections.abc import Iterable

from fl_assets.events.redaction.blocks import SEP, SIGNS, STAND_IN
from fl_assets.events.redaction.rule import Rule, Unless, any_case

_FLAGS = r"""
docker␣login podman␣login buildah␣login skopeo␣login | -p | docker login -u bot -p ‹tulip-7›
rabbitmqadmin | -p | rabbitmqadmin -u bot -p ‹tulip-7› list queues
nerdctl␣login oras␣login oc␣login helm␣registry␣login | -p | oras login -u bot -p ‹tulip-7› reg.io
crane␣auth␣login regctl␣registry␣login | -p | crane auth login reg.io -u bot -p ‹tulip-7›
az␣login az␣[a-z]+␣server␣(?:create|update) | -p | az sql server create -p ‹tulip-7› -n a
twine␣upload | -p | twine upload -u bot -p ‹tulip-7› dist/x
mongosh? mongo(?:dump|restore|export|import|stat|top) | -p | mongodump -u app -p ‹tulip-7› -d x
cypher-shell cqlsh beeline hdbsql exaplus | -p | cypher-shell -u neo4j -p ‹tulip-7›
hydra medusa crackmapexec netexec nxc evil-winrm | -p | hydra -l root -p ‹tulip-7› ssh://h
psexec(?:64)? PsExec(?:64)? rdesktop | -p | rdesktop -u anna -p ‹tulip-7› host
ncftp(?:put|get|ls|) | -p | ncftpput -u bot -p ‹tulip-7› ftp.x /a b
racadm fence_[a-z]+ (?:ipmi|bmc)-[a-z]+ | -p | racadm -r idrac -u root -p ‹tulip-7› getsysinfo
steghide useradd usermod | -p | steghide embed -cf a.jpg -p ‹tulip-7›
certutil signtool | [-/]p | signtool sign /f a.pfx /p ‹tulip-7› x.exe
winrs winrm | [-/][pP]:… [-/]password:… | winrs -r:web1 -u:anna -p:‹tulip-7› dir
mosquitto_(?:pub|sub|rr) ipmitool zip unzip p4 | -P | mosquitto_pub -u s -P ‹tulip-7› -t x
sqlcmd bcp tsql [fi]sql osql | -P -P… | tsql -H srv -U sa -P ‹tulip-7›
ssh-keygen | -P | ssh-keygen -p -P ‹tulip-7› -f id
sshpass | -p -p… | sshpass -p ‹tulip-7› ssh a
7z[ar]? arj | -p… | 7z x -p‹tulip-7› a.7z
rar unrar WinRAR | -h?p… | rar x -hp‹tulip-7› a.rar
mysql[a-z_-]* mariadb[a-z-]* | -p… | mysqladmin -u root -p‹tulip-7› ping
mydumper pt-[a-z]+-[a-z-]+ | -p | mydumper -u root -p ‹tulip-7› -B app
ldap(?:search|add|modify|delete|whoami|compare|modrdn|exop) | -w | ldapmodify -x -D cn=a -w ‹tulip-7› -f x
kadmin vsql asleap | -w | kadmin -p admin -w ‹tulip-7› listprincs
rpcclient smb(?:client|get|cacls) net␣rpc net␣ads | -U␣?["']?[^\s%<]+%… | smbclient //s/x -U a%‹tulip-7›
samba-tool samba␣net winexe rpc␣join | -U␣?["']?[^\s%<]+%… | samba-tool domain join x -U a%‹tulip-7›
[wx]freerdp3? sdl-freerdp | [-/]p:… -p | xfreerdp /u:anna /p:‹tulip-7› /v:h
plink pscp psftp putty nodetool | -pw | plink -pw ‹tulip-7› bot@h
schtasks | /[rR][pP] /[pP] | schtasks /create /ru anna /rp ‹tulip-7› /tn x
sc␣config sc␣create | password= | sc config svc obj= anna password= ‹tulip-7›
snmp[a-z]{3,9} | -A -X | snmpget -v3 -A ‹tulip-7› h x
redis-cli valkey-cli keydb-cli | -a | redis-cli -h r -a ‹tulip-7› ping
openssl | -k | openssl enc -aes-256-cbc -k ‹tulip-7› -in a
qpdf | --encrypt | qpdf --encrypt ‹tulip-7› b 256 -- a.pdf b.pdf
pdf(?:totext|toppm|info|images|detach|tohtml|fonts) | -[uo]pw | pdftotext -upw ‹tulip-7› x.pdf
pdftk | user_pw owner_pw input_pw | pdftk a.pdf output b.pdf user_pw ‹tulip-7›
nmcli | password wifi-sec[.]psk | nmcli dev wifi connect Home password ‹tulip-7›
x11vnc | -passwd | x11vnc -passwd ‹tulip-7› -forever
keytool | -(?:src|dest)(?:store|key)pass | keytool -list -deststorepass ‹tulip-7›
security␣(?:unlock|create)-keychain | -p | security unlock-keychain -p ‹tulip-7› x
security␣import | -P | security import a.p12 -P ‹tulip-7›
sysadminctl | -newPassword | sysadminctl -resetPasswordFor anna -newPassword ‹tulip-7›
grafana-cli␣admin | reset-admin-password | grafana-cli admin reset-admin-password ‹tulip-7›
curl wget https? xh | -[A-Za-z]{0,4}[uU]␣*["']?[^\s"'$<:]*["']?:… | curl -u bot:‹tulip-7› https://x
curl etcdctl | --(?:proxy-)?user[␣=]+["']?[^\s"'$<:]*["']?:… | curl --proxy-user bot:‹tulip-7› https://x
https? xh | (?:-a|--auth)(?:␣+|=)["']?[^\s"'$<:]+:… | http -a bot:‹tulip-7› x.io
lftp | -u␣[^\s,<]+,… | lftp -u bot,‹tulip-7› ftp.x
veracrypt | -p | veracrypt -t -p ‹tulip-7› v /mnt
ipa-client-install | -w | ipa-client-install -p admin -w ‹tulip-7›
slappasswd ldappasswd | -s | slappasswd -s ‹tulip-7›
security␣set-key-partition-list | -k | security set-key-partition-list -S apple: -k ‹tulip-7› x
esxcli | -p | esxcli system account set -i bot -p ‹tulip-7›
"""
_SECOND_FLAGS = r"""
snmp[a-z]{3,9} | -X | snmpget -v3 -X ‹tulip-7› h x
ssh-keygen | -N | ssh-keygen -t rsa -N ‹tulip-7› -f id
qpdf | --encrypt␣\S+ | qpdf --encrypt ab ‹tulip-7› 256 -- a.pdf b.pdf
keytool | -dest(?:store|key)pass | keytool -genkey -destkeypass ‹tulip-7›
ldappasswd | -w | ldappasswd -D cn=a -w ‹tulip-7› bot
esxcli | -c | esxcli system account set -i bot -c ‹tulip-7›
pdftk | owner_pw | pdftk a.pdf output b.pdf owner_pw ‹tulip-7›
"""
"""Of programs that take two passwords: the later of them."""

_ORACLE = r"(?:sqlplus|impdp|expdp|sqlldr|rman␣target)␣(?:-[A-Z]{1,4}␣)?[A-Za-z][0-9A-Za-z_]{0,30}/"
_WORD = r"[^\s<]{1,80}"
_NAME, _ID = r"[^\s<-][^\s<]{0,60}", "[0-9A-Za-z_.-]{1,40}"
_MORE, _ECHO = "(?:-[a-zA-Z]+␣){0,3}", "(?:<?[(])?(?:echo|printf)␣(?:-n␣)?"
_IMPACKET = "(?:impacket-[a-zA-Z]+|[a-zA-Z]{3,30}[.]py)"
_READERS = "(?:kinit|cryptsetup|hdiutil|veracrypt|sudo|gpg2?|restic|login|unlock|secret|pass|stdin)"
_SECRET_SET = (
    "(?:secrets?|env|variables?)␣(?:set|add|create|put|update)␣…(?:PASS(?:WORD)?|PW|PWD|SECRET|TOKEN|KEY)"
)
_PLACES = rf"""
{_ORACLE} | sqlplus -S hr/‹tulip7› @x.sql
WIFI:[^\r\n<]{{1,80}};P: | WIFI:T:WPA;S:home;P:‹tulip-7;;›
-(?:passin|passout|pass|storepass|keypass)[␣=](?:pass:)? | openssl rsa -passin pass:‹tulip-7› -in k
jdbc:oracle:(?:thin|oci):[A-Za-z][0-9A-Za-z_]{{0,30}}/ | jdbc:oracle:thin:hr/‹tulip7@db:1521:X›
isql␣(?:-[a-z]+␣)?[0-9A-Za-z_]{{1,40}}␣{_NAME}␣ | isql sales anna ‹tulip-7›
{_IMPACKET}␣…{_ID}/{_ID}: | impacket-psexec CORP/anna:‹tulip-7@dc01›
net␣user␣{_WORD}␣ | net user anna ‹tulip-7› /add
net␣use␣…/user:{_WORD}␣ | net use Z: /user:ACME ‹tulip-7›
net␣use␣(?:[A-Za-z*]:?␣)?\\\\{_WORD}␣ | net use Z: \\srv\x ‹tulip-7›
machine␣{_WORD}\s{{1,3}}login␣{_WORD}\s{{1,3}}password␣ | machine x login b password ‹tulip-7›
htpasswd␣{_MORE}-[a-zA-Z]*b[a-zA-Z]*␣{_MORE}{_NAME}␣{_NAME}␣ | htpasswd -cb users bot ‹tulip-7›
rabbitmqctl␣(?:add_user|change_password|authenticate_user)␣{_WORD}␣ | rabbitmqctl add_user app ‹tulip-7›
ejabberdctl␣register␣{_WORD}␣{_WORD}␣ | ejabberdctl register anna x.io ‹tulip-7›
wpa_passphrase␣{_WORD}␣ | wpa_passphrase Home ‹tulip-7›
cmd␣wifi␣connect-network␣{_WORD}␣wpa[23]␣ | adb shell cmd wifi connect-network Home wpa2 ‹tulip-7›
masterauth␣ | masterauth ‹tulip-7›
redis-cli␣…(?:AUTH|auth)␣(?:[a-z]{{1,20}}␣)? | redis-cli -h r AUTH ‹tulip-7›
ConvertTo-SecureString␣(?:-String␣)?["'] | ConvertTo-SecureString '‹Herbst2026!›' -AsPlainText
(?:connect|CONNECT)␣(?:to|TO)␣{_WORD}␣user␣{_WORD}␣using␣ | db2 connect to x user app using ‹tulip-7›
[Nn]ick[Ss]erv␣:?(?:IDENTIFY|identify)␣(?:[A-Za-z]{{1,20}}␣)? | /msg NickServ IDENTIFY ‹tulip-7›
cmdkey␣…/pass: | cmdkey /add:srv /user:anna /pass:‹tulip-7›
{_READERS}[^\s<]{{0,12}}␣…<<<␣? | kinit a <<< ‹tulip-7›
(?:[a-z]{{1,12}}_)?pass(?:word|phrase)?[_-](?:command|cmd|file)[␣=]["']?{_ECHO} | --pass-cmd 'echo ‹tulip-7›'
{_SECRET_SET}␣…(?:--body|--value|-b|-v)[␣=] | gh secret set DB_PASSWORD --body "‹tulip-7›"
(?:secrets?␣(?:set|put|add|create)|put-parameter)␣…--(?:value|secret-string)[␣=] | secret set --value ‹a-7›
(?:mosquitto_passwd␣{_MORE}-b␣{_MORE}|ctl␣admins␣){_NAME}␣{_NAME}␣ | ctl admins add bot ‹tulip-7›
drush␣(?:user:password|upwd)␣{_NAME}␣ | drush user:password bot "‹tulip-7›"
ldifde␣…-b␣{_NAME}␣{_NAME}␣ | ldifde -i -f x -b anna CORP ‹tulip-7›
(?:bw␣unlock|rclone␣obscure|bw␣login␣{_NAME})␣ | bw unlock ‹tulip-7›
(?:ftp>|lftp␣…["';])␣?user␣{_NAME}␣ | ftp> user bot ‹tulip-7›
addauth␣digest␣{_ID}: | addauth digest bot:‹tulip-7›
"""

_ARGUMENTS = r"""
["']-u["'],␣?["']…["'],␣?["']-p(?:["'],␣?["'])? | ["mysql", "-u", "root", "-p‹tulip-7›"]
["'](?:sshpass|mysql[a-z]*|mariadb)["'],␣?…["']-p(?:["'],␣?["'])? | ['sshpass', '-p', '‹tulip-7›', 'ssh']
["'](?:sqlcmd|bcp|tsql|unzip|zip|ipmitool)["'],␣?…["']-P["'],␣?["'] | ["bcp", "-P", "‹tulip-7›"]
["'](?:redis-cli|valkey-cli)["'],␣?…["']-a["'],␣?["'] | ["redis-cli", "-a", "‹tulip-7›", "ping"]
["']ldap[a-z]{3,9}["'],␣?…["']-w["'],␣?["'] | ["ldapsearch", "-w", "‹tulip-7›"]
["']curl["'],␣?…["'](?:-u|--user)["'],␣?["'][^"':\s<]{1,60}: | ["curl", "-u", "bot:‹tulip-7›", "https://x"]
"""
"""The same flags where a command is a list of its arguments."""

_LINE = f"(?:\\\\\r?\n|[^\r\n|;<{SEP}])"
"""A command goes on in the next line behind a stroke."""
_LINE_AGAIN = f"(?:{_LINE}|<PASSWORD>)"
_QUOTE = "\\\\{0,7}[\"']"
_EDGE = "^|[^0-9A-Za-z_]"
_VALUE = f"[^ \t\r\n\"'`<$*/{SEP}-][^ \t\r\n\"'`<{SEP}]{{2,}}"
_NO_VALUE = (
    STAND_IN,
    "[0-9]{1,5}(?::[0-9]+)?$|pass:$|(?:env|file|fd):|stdin$",
    any_case("(?:directive|option|flag|switch|pass|passwd|password|passphrase|parameter|and|the|for|with)")
    + "[.,:;)]?$",
    Unless(before=".?machine.*", value="[a-z]+$"),
    Unless(before=".*(?:connect|CONNECT) .*", value="[a-z]+$"),
)


def _rows(table: str) -> list[list[str]]:
    return [line.split(" | ") for line in table.strip().splitlines()]


def _blanks(kinds: Iterable[str]) -> tuple[str, ...]:
    return tuple(kind.replace("␣", " ") for kind in kinds)


def _flag(flag: str) -> str:
    """Return a flag with what stands between it and its value."""
    if flag.endswith("…"):
        return f"{flag[:-1]}(?:{_QUOTE})?"
    return f"{flag}(?:[ =]{{1,3}}(?:{_QUOTE})?|{_QUOTE})"


def _of_flags(table: str, line: str, stays: tuple[str, ...]) -> Rule:
    """Return the rule of a table of flags; programs with the same flags are one alternative."""
    programs: dict[str, list[str]] = {}
    for names, flags, _ in _rows(table):
        programs.setdefault(flags, []).extend(names.split())
    kinds = _blanks(
        f"(?:{'|'.join(names)})(?:[.]exe)? (?:{line}{{0,120}}? )??(?:{'|'.join(map(_flag, flags.split()))})"
        for flags, names in programs.items()
    )
    return _rule(kinds, tuple(example for *_, example in _rows(table)), stays)


def _rule(kinds: tuple[str, ...], examples: tuple[str, ...], stays: tuple[str, ...]) -> Rule:
    return Rule(
        "PASSWORD",
        f"((?:{_EDGE})(?:{'|'.join(kinds)}))({_VALUE})()",
        examples=examples,
        stays=stays,
        unless=_NO_VALUE,
        apart=True,
        kinds=kinds,
    )


RULES = (
    _of_flags(
        _FLAGS,
        _LINE,
        (
            "mysql -u root -p $PASS",
            "docker login -p 443",
            "unzip -p archive.zip file.txt",
            "mosquitto_pub -p 1883 -t x",
            "use tsql with the -P option",
        ),
    ),
    _of_flags(_SECOND_FLAGS, _LINE_AGAIN, ("ssh-keygen -t ed25519 -N '' -f id",)),
    _rule(
        _blanks(
            f"{place.replace('…', f'{_LINE}{{0,80}}?')}(?:{_QUOTE})?"
            for place, _ in _rows(_PLACES) + _rows(_ARGUMENTS)
        ),
        tuple(example for _, example in _rows(_PLACES) + _rows(_ARGUMENTS)),
        (
            '["docker", "run", "-u", "1000", "-p", "8080:80"]',
            "net user anna /delete",
            "connect to db user app using ssl",
        ),
    ),
    Rule(  # of a program that no table names: a flag for a user, then one for a password
        "PASSWORD",
        f"((?:{_EDGE})(?:-u|-U|-i|--user|--username)[ =][\"']?[A-Za-z][^\\s<\"']{{0,40}}[\"']? "
        f"(?:{_LINE}{{0,60}}? )??(?:-p|-P|--pass|--pwd|--pw)[ =]{_QUOTE}?)({_VALUE})()",
        examples=("smbmap -u anna -p '‹tulip-7b2› ' -H h".replace("› '", "›'"),),
        stays=("docker run -u app -p 8080:80 x", "x -u anna -p profile-2", "x -u anna -p 4.18.0"),
        need=f"{SIGNS}.*",
        unless=(
            *_NO_VALUE,
            ".*:[0-9]+",
            "[0-9.]+$",
            "[a-z]+(?:[_.-]v?[0-9]|[0-9]{1,2})$",
            ".{1,5}$",
            "[A-Za-z_-]+=",
            "[.]",
        ),
    ),
)
