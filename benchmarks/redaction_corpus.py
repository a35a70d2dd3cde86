"""The half of the labelled corpus that the redaction rules were tuned on, generated: values of each entity in
the texts that carry them, and near misses.

What goes here: forms. What does not: scoring (`redaction.py`), the held-out half (`redaction_corpus.jsonl`,
frozen before the rules were run on it). Every value is invented or is a vendor's published example; keys are
put together here, so that no scanner takes this file for a leak.
"""

import random
import re
from collections.abc import Iterator
from itertools import cycle

from fl_assets.events.redaction import luhn_holds

_PLAIN = (
    "§",
    "failed to notify § after 3 attempts",
    "user=§, action=login",
    'payload: {"value": "§"}',
    "(§)",
    "lookup of §: not found",
    "It was §.",
    "values §, and more",
    "'§' rejected by upstream",
    'tool said "§" at step 4',
    "line one\n§\nline three",
    'escaped {\\"value\\":\\"§\\"} in a string',
    "Traceback (most recent call last): ValueError: bad input §",
    "[2026-11-24T10:30:45Z] ERROR worker-3 input=§",
    "| § | pending |",
    "please update my record to § thanks",
)
_HEX = "0123456789abcdef"
_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _values() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return values and carriers by entity; a carrier's `§` is the labelled span."""
    rnd = random.Random(20261124)

    def some(alphabet: str, length: int) -> str:
        return "".join(rnd.choice(alphabet) for _ in range(length))

    jwt = ".".join(
        (
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0",
            some(_ALNUM + "-_", 43),
        )
    )
    base64_lines = "\n".join(some(_ALNUM + "+/", 64) for _ in range(4))
    pem = f"-----BEGIN RSA PRIVATE KEY-----\n{base64_lines}\n-----END RSA PRIVATE KEY-----"
    keys = (
        "AKIA" + some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16), "ASIA" + some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16), "AIza" + some(_ALNUM + "-_", 35),
        "ya29." + some(_ALNUM + "-_", 60), "GOCSPX-" + some(_ALNUM, 28), "ghp_" + some(_ALNUM, 36), "gho_" + some(_ALNUM, 36), "ghs_" + some(_ALNUM, 36),
        "github_pat_" + some(_ALNUM, 22) + "_" + some(_ALNUM, 59), "glpat-" + some(_ALNUM, 20), "hf_" + some(_ALNUM[:52], 34), "sk-" + some(_ALNUM, 48),
        "sk-proj-" + some(_ALNUM + "-_", 60), "sk-svcacct-" + some(_ALNUM, 58), "sk-ant-api03-" + some(_ALNUM + "-_", 93) + "AA", "sk-or-v1-" + some(_HEX, 64),
        "xoxb-" + some("0123456789", 12) + "-" + some("0123456789", 12) + "-" + some(_ALNUM, 24), "xoxp-" + some("0123456789", 12) + "-" + some(_HEX, 32),
        "xapp-1-A" + some("0123456789ABCDEF", 10) + "-" + some("0123456789", 13) + "-" + some(_HEX, 64), "sk_" + "live_" + some(_ALNUM, 24),
        "rk_" + "live_" + some(_ALNUM, 24), "sk_" + "test_" + some(_ALNUM, 24), "whsec_" + some(_ALNUM, 32), "SG." + some(_ALNUM, 22) + "." + some(_ALNUM + "-_", 43),
        "SK" + some(_HEX, 32), "key-" + some(_HEX, 32), some(_HEX, 32) + "-us12", "npm_" + some(_ALNUM, 36), "pypi-AgEIcHlwaS5vcmc" + some(_ALNUM + "-_", 50),
        "dckr_pat_" + some(_ALNUM + "-_", 27), "dop_v1_" + some(_HEX, 64), "shpat_" + some(_HEX, 32), "dapi" + some(_HEX, 32), "lin_api_" + some(_ALNUM, 40),
        "ntn_" + some(_ALNUM, 46), "lsv2_pt_" + some(_HEX, 32) + "_" + some(_HEX, 10), "pk-lf-" + some(_HEX, 8) + "-1234-4abc-9def-" + some(_HEX, 12),
        "gsk_" + some(_ALNUM, 52), "r8_" + some(_ALNUM, 37), "pplx-" + some(_ALNUM, 48), "xai-" + some(_ALNUM, 80), "tvly-" + some(_ALNUM, 32),
        "nvapi-" + some(_ALNUM + "-_", 64), "hvs." + some(_ALNUM, 90), "glsa_" + some(_ALNUM, 32) + "_" + some(_HEX, 8), "NRAK-" + some("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 27),
        "PMAK-" + some(_HEX, 24) + "-" + some(_HEX, 34), "sbp_" + some(_HEX, 40), "pcsk_" + some(_ALNUM, 60), "rzp_live_" + some(_ALNUM, 20),
        some("123456789", 9) + ":AA" + some(_ALNUM + "-_", 33), "figd_" + some(_ALNUM + "-_", 40), "ATATT3" + some(_ALNUM + "-_", 60),
    )  # fmt: skip
    return {
        "EMAIL": (
            (
                "alice@example.com", "bob.smith@example.co.uk", "carol+news@mail.example.org", "d_o-e99@sub.domain.example.io", "x@y.de", "o'brien@example.ie",
                "ERIC@EXAMPLE.COM", "first.middle.last@uni-example.edu", "jörg@müller.example", "user%40" + "example.com", "1234567890@qq.com", "a.b-c_d@ex-ample.museum",
                "support@xn--bcher-kva.example", "no-reply@notifications.example.com", "иван@пример.рф",
            ),
            (*_PLAIN, "mailto:§?subject=x", "From: Alice <§>", "git commit --author='A <§>'", "https://example.com/u?email=§&x=1", "cc:§;", "to=§"),
        ),
        "PHONE": (
            (
                "+1 415 555 2671", "+1-415-555-2671", "+14155552671", "+1 (415) 555-2671", "(415) 555-2671", "415-555-2671", "415.555.2671", "1-800-555-0199", "(415)555-2671",
                "+44 20 7946 0958", "+44 (0)20 7946 0958", "+442079460958", "+49 30 901820", "+49 (0)30 / 901820", "+33 1 23 45 67 89", "+33.1.23.45.67.89", "06 12 34 56 78",
                "+91 98765 43210", "+86 138 0013 8000", "+7 (495) 123-45-67", "+55 11 91234-5678", "+61 2 9374 4000", "+81-3-1234-5678", "+39 06 6982", "+34 912 345 678",
                "0044 20 7946 0958", "+1 415-555-2671 ext. 123", "415-555-2671 x42", "+972-50-123-4567", "+971 4 123 4567", "+65 6123 4567", "+27 82 123 4567", "020 7946 0958",
                "07700 900123", "0171 1234567", "+52 55 1234 5678", "+82 2-312-3456", "+46 8 123 456 78", "+41 44 668 18 00", "+353 1 234 5678", "+351 21 123 4567",
            ),
            (*_PLAIN, "tel:§", "Phone: §", "call me at § tomorrow", "fax=§", '"phone_number": "§"', "My number is §", "WhatsApp §"),
        ),
        "CARD": (
            (
                "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "4012888888881881", "4222222222222", "5555 5555 5555 4444", "5105105105105100", "2223003122003222",
                "3782 822463 10005", "378282246310005", "3714-496353-98431", "6011 1111 1111 1117", "6011000990139424", "3530111333300000", "3056 930902 5904", "30569309025904",
                "38520000023237", "6304000000000000", "6759649826438453", "4917610000000000003", "6200000000000005",
            ),
            (*_PLAIN, "card=§ exp 12/29", "card_number: §", "charge on § declined", "PAN §", "cc:§"),
        ),
        "SSN": (
            ("123-45-6789", "078-05-1120", "219-09-9999", "536-22-8726", "001-01-0001", "772-99-1234", "457-55-5462", "123 45 6789", "899-10-2345", "665-12-3456"),
            (*_PLAIN, "SSN: §", "ssn=§", "social security number §", "my SSN is §", '"ssn": "§"', "taxpayer § not found"),
        ),
        "IBAN": (
            (
                "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "GB29NWBK60161331926819", "FR14 2004 1010 0505 0001 3M02 606",
                "FR1420041010050500013M02606", "NL91ABNA0417164300", "NL91 ABNA 0417 1643 00", "ES9121000418450200051332", "IT60X0542811101000000123456", "CH9300762011623852957",
                "AT61 1904 3002 3457 3201", "BE68 5390 0754 7034", "NO93 8601 1117 947", "SE45 5000 0000 0583 9825 7466", "PL61109010140000071219812874", "PT50000201231234567890154",
                "TR330006100519786457841326", "SA0380000000608010167519", "MT84MALT011000012345MTLCAST001S", "de89370400440532013000", "IE29 AIBK 9311 5212 3456 78",
            ),
            (*_PLAIN, "IBAN § rejected", "iban=§", "transfer to § EUR 100", "IBAN:§"),
        ),
        "IPV4": (
            ("192.168.1.17", "10.0.0.1", "203.0.113.42", "8.8.8.8", "172.16.254.1", "255.255.255.255", "1.2.3.4", "100.64.0.1", "52.94.236.248", "198.51.100.7"),
            (*_PLAIN, "connect to §:5432 refused", "http://§/index.html", "§/24 unreachable", "from § to nowhere", "client_ip=§", "node7/§:9092", "ping §...", "[§]", "x-forwarded-for: §"),
        ),
        "IPV6": (
            (
                "2001:db8::1", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "fe80::1ff:fe23:4567:890a", "::1", "::ffff:192.0.2.128", "fe80::1%eth0", "2001:db8:0:0:1:0:0:1",
                "64:ff9b::192.0.2.33", "2a00:1450:4001:81b::200e", "FD00::ABCD:1234", "ff02::2", "2001:db8:85a3::8a2e:370:7334",
            ),
            (*_PLAIN, "http://[§]:8080/", "client § closed", "peer=§ port=443", "§/64 route", "addr §: timeout", "listen [§]:53"),
        ),
        "MAC": (
            ("00:1A:2B:3C:4D:5E", "00-1a-2b-3c-4d-5e", "001a.2b3c.4d5e", "de:ad:be:ef:00:01", "A4:83:E7:12:9F:0C", "00:11:22:33:44:55", "f0-18-98-aa-bb-cc"),
            (*_PLAIN, "ether § txqueuelen 1000", "mac=§", "device § joined", "hwaddr: §", "bssid=§ rssi=-60"),
        ),
        "URL_CREDENTIALS": (
            ("admin:s3cret", "user:p%40ss", "svc-1:Tr0ub4dor&3", ":redispw1", "john.doe:hunter2", "root:x"),
            (
                "postgres://§@db.internal:5432/app", "mysql+pymysql://§@dbhost/x", "https://§@example.com/path?x=1", "redis://§@cache:6379/0",
                "amqp://§@mq:5672//", "mongodb+srv://§@cluster0.example.net/test", "ftp://§@files.example.com", 'DATABASE_URL="postgresql://§@localhost/db"',
                "git clone https://§@git.example.com/a/b.git", "could not connect: smtp://§@mail.example.com:587", "proxy http://§@proxy:3128 failed", "wss://§@ws.example.com",
            ),
        ),
        "JWT": (
            (*(".".join(("eyJ" + some(_ALNUM, 17), "eyJ" + some(_ALNUM + "-_", 40), some(_ALNUM + "-_", 43))) for _ in range(5)), jwt),
            (*_PLAIN, "https://example.com/cb?token=§&state=1", "id_token=§", "Cookie: session=§", "jwt § expired"),
        ),
        "PEM": (
            (
                pem, pem.replace("\n", "\\n"), pem.replace("RSA ", ""), pem.replace("RSA", "OPENSSH"), pem.replace("RSA", "EC"), pem.replace("RSA PRIVATE KEY", "CERTIFICATE"),
                pem.replace("\n", " "), pem.replace("RSA PRIVATE KEY-----\n", "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n"),
            ),
            ("§", "key:\n§\n", 'private_key="§"', "could not parse § as key", "secret in repo:\n§", '{"private_key": "§"}', "cat id_rsa\n§", "bad key (§)"),
        ),
        "API_KEY": (
            keys,
            (*_PLAIN, "export KEY=§", "Invalid key: §", "api_key=§", "https://api.example.com/v1?key=§", "x-api-key: §", "Incorrect API key provided: §."),
        ),
        "BEARER_TOKEN": (
            (some(_ALNUM, 32), some(_HEX, 40), some(_ALNUM + "-._~", 50) + "9", some(_ALNUM, 24) + "==", "abc123def456ghi7"),
            (
                "Authorization: Bearer §", "authorization: bearer §", '{"Authorization": "Bearer §"}', "curl -H 'Authorization: Bearer §' https://x", "Bearer §",
                '{\\"authorization\\":\\"Bearer §\\"}', "headers={'Authorization': 'Bearer §'}", "used Bearer § and got 401", "Authorization: Token §", "access_token=§",
                "Proxy-Authorization: Bearer §", "BEARER §",
            ),
        ),
        "BASIC_AUTH": (
            ("dXNlcjpwYXNzd29yZA==", "YWRtaW46aHVudGVyMg==", "YWxhZGRpbjpvcGVuc2VzYW1l", "Zm9vOmJhcjEyMw==", "c3ZjOlRyMHViNGRvciYz"),
            (
                "Authorization: Basic §", "authorization: basic §", '{"Authorization": "Basic §"}', "curl -H 'Authorization: Basic §' https://x", "Basic §",
                '{\\"authorization\\":\\"Basic §\\"}', "headers={'Authorization': 'Basic §'}", "got 401 for Basic §", "Proxy-Authorization: Basic §", "BASIC §", "auth=Basic §", "Authorization=Basic%20§",
            ),
        ),
        "PASSWORD": (
            ("hunter2", "s3cr3t!", "P@ssw0rd", "Tr0ub4dor&3", "correcthorse", "letmein1", "xK9#mQ2$vL", "qwerty123", "abc-DEF-123", "ünïcødé9"),
            (
                "password=§", 'password="§"', "password='§'", "password: §", '{"password": "§"}', "{'password': '§'}", '{\\"password\\": \\"§\\"}', 'x \\\\\\"password\\\\\\":\\\\\\"§\\\\\\" y',
                "DB_PASSWORD=§", "POSTGRES_PASSWORD: §", "PGPASSWORD=§ psql -h db", "--password §", "--password=§", "Server=db;Uid=sa;Pwd=§;", "mysql -u root -p§ app", "passwd: §",
                "user=bob password=§ host=db", "https://example.com/login?user=bob&password=§", "pwd=§", "passphrase: §", "DB_PASS=§", "<password>§</password>", 'db:\n  user: app\n  password: §\n  host: x',
                "login(user='a', password='§')", ":password => '§'", "spring.datasource.password=§", "requirepass §", "IDENTIFIED BY '§'", '"user_password": "§",', "password\x1e§",
            ),
        ),
        "HOME_USER": (
            ("alice", "jdoe", "maria.garcia", "bob_smith", "j-doe", "Erik", "müller", "dev42"),
            (
                "/home/§/project/main.py", "/Users/§/Library/x", "C:\\Users\\§\\Desktop", "C:\\\\Users\\\\§\\\\AppData", "c:/users/§/x", 'File "/home/§/app.py", line 3', "cd /home/§",
                "FileNotFoundError: [Errno 2] No such file or directory: '/Users/§/data.csv'", "file:///home/§/x.html", "scp host:/home/§/x .", "/mnt/c/Users/§/x", "HOME=/home/§", "/home/§: permission denied",
                '{"path": "/home/§/.ssh/id_rsa"}', "\\\\Users\\\\§\\\\x", "D:\\Users\\§", "/export/home/§/x", "open('/home/§/a b.txt')", "C:\\Documents and Settings\\§\\x",
            ),
        ),
    }  # fmt: skip


FORMS = {
    "PASSWORD": (
        ("Tr0ub4dor&3", "xK9#mQ2$vL", "Herbst_2025"),
        r"""
  password: §
"password":["§"]
#define WIFI_PASSWORD "§"
$env:DB_PASSWORD = "§"
$password = '§';
'password' => '§',
--admin-password "§"
--db-pass=§
-F password=§
-Password §
/p:Password=§
/user:bob /pass:§
<Password>§</Password>
<add key="DbPassword" value="§"/>
<ns1:password>§</ns1:password>
<param name="password">§</param>
<property name="password">§</property>
<string name="password">§</string>
ConvertTo-SecureString -String '§' -AsPlainText
Credentials(username='bob', password=SecretStr('§'))
DB_PASS='§'
Driver={SQL Server};Server=s;UID=sa;PWD=§
GET /auth?user=bob&pwd=§ HTTP/1.1
HTTPBasicAuth('bob', '§')
I changed my password to §
POST /login username=bob&passwd=§
Password → §
PasswordAuthentication("bob", "§".toCharArray())
Temporary password is §
Trying password '§' for user bob
Use "§" as password
X-Auth-Password: §
X-Password: §
adminPwd = "§"
ansible_become_pass=§
ansible_become_password: '§'
ansible_ssh_pass: §
auth=("admin", "§")
await page.fill('#password', '§')
bcp db.t in f -U sa -P §
bindpw=§
change password to §
confirmPassword: "§"
const char* password = "§";
const password: string = "§";
curl -u bob:§ https://api.example.com
db_pwd: §
define('DB_PASSWORD', '§');
driver.find_element(By.ID, "password").send_keys("§")
echo "§" | sudo -S ls
email_host_password = '§'
enable password §
entered § as password
fill(selector="#passwd", value="§")
ftp.login(user='bob', passwd='§')
grant_type=password&username=bob&password=§
initial password for bob: §
invalid password: §
jarsigner -storepass § x.jar
jdbc:mysql://h:3306/d?user=bob&password=§
jdbc:sqlserver://h;user=sa;password=§;encrypt=true
keytool -genkey -keypass '§' -alias x
let password: String = String::from("§");
log in with bob and the password §
login with username bob and password §
mariadb -uroot -p§ app
mongosh -u root -p '§' admin
my password is "§", please log in
my password is §
mysql -uroot -p'§' -e 'show tables'
nmcli dev wifi connect Home password §
old password §
openssl enc -aes-256-cbc -pass pass:§ -in a
openssl pkcs12 -export -passout pass:§ -out x.p12
os.environ['PGPASSWORD'] = '§'
pass: §
passcode: §
passphrase "§"
passphrase is §
passwd §
passwd=§
password (§)
password = '§'
password [§]
password is: §
password ➜ §
password=SecretStr("§")
password_list = ['§']
proxy_pass="§"
psk="§"
psql "postgresql://db/x?user=bob&password=§"
pw = §
pw: §
redis-cli -a '§' --no-auth-warning
set DB_PASSWORD=§
setItem('password', '§')
smbclient //srv/share -U 'corp/bob%§' -c ls
smtp.login("bob@example.com", "§")
spring.datasource.password=§
sqlcmd -S srv -U sa -P §
stringData:\n  password: §
the passphrase: §
the password is '§'
the password will be §
the secret phrase is §
tried password § and failed
type_text(field="password", text="§")
use the password §
user --name=bob --password=§ --plaintext
user%3Dbob%26password%3D§
user:bob pass:§
user_pass=§
username: bob, password: §
userpass: §
var password = `§`;
variable "admin_password" { type = string, default = "§" }
variable "db_password" { default = "§" }
variable "db_password" {\n  type    = string\n  default = "§"\n}
vncpasswd §
wpa_passphrase=§
xfreerdp /u:bob /p:'§' /v:h
xfreerdp /v:h /u:bob /p:§
your one-time password is §
zip -P '§' a.zip b
{"action":"fill","selector":"#password","value":"§"}
{"grant_type":"password","username":"bob","password":"§"}
{"key":"password","value":"§"}
{"selector": "input[type=password]", "text": "§"}
{\\\\\\\\\\\\\\"passwd\\\\\\\\\\\\\\": \\\\\\\\\\\\\\"§\\\\\\\\\\\\\\"}
{pass:"§"}
mi contraseña es §
La contraseña: §
contraseña temporal: §
clave: §
la clave es §
mi clave de acceso es §
contrasena=§
minha senha é §
A senha é §
senha: §
senha do wifi: §
palavra-passe: §
a palavra-passe é §
mon mot de passe est §
mot de passe : §
Le mot de passe est « § »
mdp: §
mdp = §
mein Passwort ist §
Das Passwort lautet §
Passwort: §
Kennwort: §
das Kennwort ist "§"
Zugangscode: §
wachtwoord is §
mijn wachtwoord: §
het wachtwoord is §
la mia password è §
la password è §
parola d'ordine: §
parola chiave: §
moje hasło to §
hasło: §
hasło to §
mé heslo je §
heslo: §
moje heslo: §
heslo je §
mitt lösenord är §
lösenord: §
lösenordet är §
min adgangskode er §
adgangskode: §
kodeord: §
passordet er §
passord: §
mitt passord er §
salasana: §
salasanani on §
jelszó: §
a jelszó: §
parolă: §
parola mea este §
parola: §
Parola este §
şifre: §
şifrem §
şifreniz: §
κωδικός: §
κωδικός πρόσβασης: §
συνθηματικό: §
סיסמה: §
הסיסמה שלי היא §
סיסמא: §
पासवर्ड: §
मेरा पासवर्ड § है
รหัสผ่าน: §
รหัสผ่านคือ §
mật khẩu: §
mật khẩu của tôi là §
mật khẩu là §
kata sandi: §
kata sandi saya §
sandi: §
kata laluan: §
мой пароль §
пароль: §
пароль — §
Пароль от почты: §
мій пароль §
парола: §
лозинка: §
lozinka: §
geslo: §
slaptažodis: §
parole: §
parool: §
парола ми е §
密码是 §
密码：§
口令：§
我的密码是 §
登录密码: §
密碼：§
パスワードは § です
パスワード: §
パスワードは「§」
暗証番号: §
비밀번호: §
비밀번호는 § 입니다
비번: §
암호: §
كلمة المرور: §
كلمة المرور هي §
كلمة السر هي §
الرقم السري: §
رمز عبور: §
گذرواژه: §
پاس ورڈ: §
পাসওয়ার্ড: §
கடவுச்சொல்: §
salasõna: §
lykilorð: §
contrasenya: §
pasahitza: §
""",
    ),
    "API_KEY": (
        (
            "a895013d9dc1bbf710aef1f385e54c89",
            "gYEOUP4VgtkHnAsKuWmtKsjpQ2w7",
            "60325ca5-819d-4de4-a317-ab49f415b588",
        ),
        r"""
"refresh_token": "§"
- name: API_KEY\n  value: "§"
--api-key §
--key §
--secret-key §
-api-key §
<api_key>§</api_key>
<client-secret>§</client-secret>
<property name="secretKey" value="§"/>
?appid=§
?key=§
?sig=§
APIキー：§
Api-Key §
Authorization: Token §
Authorization: §
DD-API-KEY: §
DD-APPLICATION-KEY: §
DD_API_KEY=§
LANGCHAIN_API_KEY=§
NEXTAUTH_SECRET="§"
PINECONE_API_KEY: "§"
PRIVATE-TOKEN: §
SECRET_KEY_BASE=§
SENTRY_AUTH_TOKEN=§
SONAR_TOKEN=§
Set-Cookie: auth_token=§; Path=/
WANDB_API_KEY=§
X-API-KEY=§
X-Algolia-API-Key: §
X-Amz-Security-Token: §
X-Api-Key: §
X-ElevenLabs-Key: §
X-RapidAPI-Key: §
X-Shopify-Access-Token: §
X-Vault-Token: §
_authToken=§
accessToken: "§"
activation key: §
algolia admin key §
api-key: §
api_key=§
apikey: §
authToken: '§'
auth_token=§
authorization=§
azure openai key §
azure openai key: §
chiave API: §
client secret is §
client_secret: §
cloudflare global api key §
clé API : §
const apiKey: string = "§"
consumerKey='§'
datadog api key: §
define('AUTH_KEY', '§');
encryption_key=§
export DEEPGRAM_API_KEY='§'
grafana token §
here is my key: §
heroku api key §
hmac_secret: §
jeton: §
khóa API: §
license key §
licenseKey=§
mein API-Schlüssel ist §
my API key: §
my api key is §
okta token: §
private static final String API_KEY = "§";
privateKey: "§"
private_key=§
process.env.API_KEY = '§'
refresh_token=§
secret: §
secretAccessKey: "§"
secret_key=§
sendgrid key: §
service_role key: §
sonarqube token §
subscriptionKey: '§'
subscription_key="§"
token = "§"
token § was leaked
twilio auth token: §
use token §
variable "api_key" { default = "§" }
with token §
{"name": "API_KEY", "value": "§"}
{"name":"STRIPE_SECRET","value":"§"}
{\\"x-api-key\\":\\"§\\"}
{\\\\\\"api_key\\\\\\":\\\\\\"§\\\\\\"}
токен: §
الرمز: §
مفتاح API: §
密钥: §
秘密鍵: §
访问令牌: §
""",
    ),
}
"""More carriers of secrets, one a line: configurations, commands, code and prose in some thirty languages;
any of the values may stand for `§`."""


NEAR_MISSES = """
version 1.2.3.4 released
v1.2.3.4
upgraded from version 2.0.1.7 to 2.0.1.8
Chrome/120.0.0.0 Safari/537.36
numpy==1.26.4.1
app-1.2.3.4.tar.gz
1.2.3.4.5 is an OID prefix
OID 1.3.6.1.4.1.311
256.300.1.2 is no address
999.999.999.999
see section 4.2.1.3 of the manual
0.0.1
3.14159 and 2.71828
semver 1.0.0-alpha.1+build.5
10.15.7
12:30:45
2026-11-24 12:30:45.123456
2026-11-24T12:30:45+02:00
took 00:01:23
std::vector<int>
crate::module::Type
Foo::Bar::baz
a[::2]
x[1::2]
list[::-1]
arn:aws:iam::123456789012:role/admin
ratio 16:9:4
key::value
10:20:30:40
AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01
00:11:22
20-11-24-10-30-45
550e8400-e29b-41d4-a716-446655440000
request 123e4567-e89b-12d3-a456-426614174000 failed
commit 9fceb02d0ae598e95dc970b74767f19372d61af8
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
md5 d41d8cd98f00b204e9800998ecf8427e
trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7
order 4111111111111112 shipped
order number 1234567890123456
4111 1111 1111 1112
1234 5678 9012 3456
card ending in 4242
tracking 1Z999AA10123456784
IMEI 490154203237518
timestamp 1732412345123
ts=1732412345123456789
epoch 1732412345
ISBN 978-3-16-148410-0
order #123-456-7890
invoice 415-555-2671
part no. 555-123-4567
2026-11-24
24.11.2026
11/24/2026 10:30
20261124
12345678
1,234,567.89
-1234567890
total 1234567890 bytes
+100%
+12345678 bytes
1e+10
GMT+0530
UTC+05:30
40.7128, -74.0060
+52.520008,+13.404954
ZIP 12345-6789
90210
000-12-3456
666-12-3456
987-65-4321
123-00-4567
123-45-0000
1234-56-7890
12-345-6789
DE89 3704 0044 0532 0130 01
GB00NWBK60161331926819
XX12345678901234567890
NO1234567890123 is a part number
RF18539007547034 is a reference
user@host
root@localhost
@property
@app.route("/x")
@types/node@18.0.0
git@github.com:org/repo.git
icon@2x.png
getty@tty1.service
image@sha256
a @ b
np.dot(a@b.mean())
price @ 5.00
https://example.com/path?x=1
https://example.com:8080/a:b@c
http://user@host/
ssh://git@github.com/a/b
postgres://${USER}:${PASS}@db/x
redis://:@cache:6379
https://user:***@example.com
eyJhbGciOiJIUzI1NiJ9
eyJmb28iOiJiYXIifQ==
eyJ.eyJ.abc
sk-learn
sk-
sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx
sk-your-api-key-here
ghp_short
AKIA is the prefix of AWS keys
hf_hub_download(repo_id="a/b")
hf_xet
xoxb tokens are for bots
key-value store
pk_id=5
secret_manager_access_denied_error_handler
re_compile_pattern_cache_size_exceeded
token_count=123
max_tokens=4096
prompt_tokens: 1024, completion_tokens: 256
token: 50256
token limit exceeded
"token": "hello"
next_token=CAUQAA1234567890
tokenizer=cl100k_base
pad_token=<pad>
Unexpected token < in JSON at position 0
Invalid token provided
token=None
secret: required
secret_name=prod/db
api_key=None
api_key=os.environ["OPENAI_API_KEY"]
api_key=settings.openai_api_key
The api_key client option must be set
"api_key": "<redacted>"
idempotency_key=abc-123-def-456
partition_key: user#1234567890ab
primary_key=order_id_12345678
Bearer token required
Bearer authentication failed
WWW-Authenticate: Bearer realm="api", error="invalid_token"
Authorization: None
Authorization header is missing
Authorization: Bearer <token>
Authorization: Bearer ${TOKEN}
Basic authentication is disabled
basic understanding of physics
Basic realm="Restricted"
Basic Information
password=None
password: <redacted>
password=***
password=[REDACTED]
password is required
Incorrect password: please try again
password: required
"password": ""
"password": null
password=${DB_PASSWORD}
password={{ vault.db }}
password=os.getenv("PW")
password=self.password
password=password
password: str = Field(...)
password must be at least 8 characters
"password": "This field is required."
password_reset=true
password reset email sent
forgot password?
enter your password:
wrong password
passwords do not match
type="password" name="q"
pass=3 fail=2
pass: 12
PWD=/app/src
bypass=1
compass=north
KeyError: 'password'
-----BEGIN PRIVATE KEY-----
expected -----BEGIN CERTIFICATE----- header
-----BEGIN RSA PRIVATE KEY-----...-----END RSA PRIVATE KEY-----
begin
/home/
/home
https://example.com/home/index.html
GET /home/dashboard
/home/$USER/x
/Users/Shared/x
C:\\Users\\Public\\Documents
C:\\Windows\\System32
/usr/local/bin/python
/var/log/syslog
~/.ssh/config
/api/users/42
/users/list
the users/home page
temperature 98.6 and 101.3
coordinates (52.5200, 13.4050)
page 1 of 1000000
retry in 1500ms
port 8080, pid 12345, uid 1000
gpt-4o-2024-08-06
claude-3-5-sonnet-20241022
text-embedding-3-small
flight HAT001 seat 12A
reservation ZFA04Y
user mia_li_3668
#W2378156 order
item id 4648814700
product 9325306610 cannot be exchanged
payment gift_card_5094406
credit_card_9513926
zip 78705 phone unknown
Q3 2024 revenue 1 234 567
matrix 1 2 3 4 5 6 7 8 9 10
score 0.9876543210987654
0x7ffe5367e044
memory at 0x00007f8b1c2d3e4f
Content-Length: 1234567890
Range: bytes=0-1234567
HTTP/1.1 429 Too Many Requests
errno 110 after 30000 ms
2024.11.24.1
build 20241124.123456
lat=-33.8688 lng=151.2093
call_abc123XYZ tool call
function call 12345678 failed
text 1234567
id: 0012345678
iPhone 14 Pro 2023
phone_id=12345678
line 1234567 column 12
ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"
job-20241124-103045-123
#fff000 and #123456
1.0.0.0-rc1
window 200 300 400
password: str = Field(min_length=8)
password: string;
password: z.string().min(8)
password: z.string()
const schema = z.object({ password: z.string().min(8).max(64) })
password: Joi.string().required()
password: yup.string().required('Password is required')
password: Optional[str] = None
password: &str,
fn login(user: &str, password: &str) -> Result<()> {
def get_password(self) -> str:
return this.password;
this.password = password;
self._password = kwargs.get("password")
password = models.CharField(max_length=128)
password = Column(String(255), nullable=False)
password VARCHAR(255) NOT NULL
password_hash = bcrypt.hashpw(password.encode('utf-8'), bcrypt.gensalt(12))
password_hash: $2b$12$
hashed = hash_password(password)
if password != confirm_password:
check_password(user, password)
getPassword()
setPassword(newPassword)
user.password = request.form["password"]
password = input("Enter password: ")
password = getpass.getpass()
password = secrets.token_urlsafe(16)
password=args.password, host="db1.example.com", port=5432
password=cfg.db.password, user="svc1"
{"password": {"type": "string", "minLength": 8, "maxLength": 64}}
"password": {"type": "string", "format": "password", "description": "The password"}
{"name": "password", "type": "string", "required": true}
{"name":"password","in":"query","required":true,"schema":{"type":"string"}}
{"field": "password", "message": "must contain 8 characters"}
{"loc": ["body", "password"], "msg": "field required", "type": "value_error.missing"}
- name: DB_PASSWORD
- name: PASSWORD_MIN_LENGTH
variable "db_password" { type = string, sensitive = true }
variable "db_password" {
<label for="password">Password</label>
<input type="password" name="password" placeholder="Enter password">
<input type="password" id="pw1" required>
<a href="/reset-password">Reset it in 2 steps</a>
Password must be between 8 and 64 characters
Password must contain at least 1 digit
the password should be at least 12characters long
Your password expires in 14d
Password expired on 2026-11-24T10:30:45Z
password changed at 2026-11-24T10:30:45Z
password: changed
password rotated 3 times
password policy v2.1 applies
password reset for user jdoe42
Password reset email sent to user1
passwords do not match (attempt 2 of 5)
wrong password for user bob1
Invalid password for root from port 50122
Failed password for invalid user admin1 from port 2222 ssh2
Failed password for root from port 50122 ssh2
the password is hashed with SHA256
the password is stored as argon2id
passwords are stored in AES256
password strength: weak
password length: 12
password_min_length=8
password field at line 42 of form2.tsx
password login disabled in sshd config v9
the password is incorrect
forgot password? click here
what is the password
token limit: 4096
max_tokens=512
tokens used: 12345
token expired
token count 12345
token usage: prompt=1024 completion=256
Unexpected token 'a1' at position 12
invalid token
token_type: bearer
tokenizer: cl100k_base
expires_in: 3600
token bucket refill 100/s
secret santa list
secretKeyRef: db-secret
secretName: my-app-secret-v2
secret/data/prod/db1
kubectl get secret db-creds-2
api key is missing
API key invalid
api_key: str
api_key: Optional[str] = None
apiKey: process.env.API_KEY
apiKey: string
api_key=os.getenv("OPENAI_API_KEY")
api-key: <your-key>
api-key: YOUR_API_KEY
api_key=sk-...
api key ending in x4Fa
api key sk-****abcd
primary key 550e8400-e29b-41d4-a716-446655440000
cache key d41d8cd98f00b204e9800998ecf8427e
cache key: user:42:profile:d41d8cd98f00b204e9800998ecf8427e
partition key: 550e8400-e29b-41d4-a716-446655440000
idempotency key: 550e8400-e29b-41d4-a716-446655440000
Idempotency-Key: 550e8400-e29b-41d4-a716-446655440000
s3 key: data/2026/11/24/part-00000-550e8400.parquet
object key abc123def456abc123def456
foreign key constraint fk_users_12345678901234567890
KeyError: 'user_12345678901234567890'
key error: model_layers_0_attention_weight
dict key layers.0.self_attn.q_proj.weight
duplicate key value violates unique constraint "users_email_key12345678"
routing key: agent.tasks.v1.high_priority_q1
sort_key: order_1234567890abcdef1234
ssh public key SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
key fingerprint d4:1d:8c:d9:8f:00:b2:04:e9:80:09:98:ec:f8:42:7e
ssh-key id 12345678
keyword: abcdefghij1234567890abcd
the key is to keep it simple
key: value
monkey: chimpanzee1234567890abc
turkey 2024
hockey: game1234567890123456789
The key point is 3.
call_abc123XYZdef456GHIjkl789
toolu_01A09q90qw90lq917835lq9
msg_01XFDUDYJgAACzvnptvVoYEL
chatcmpl-9Zx8Yw7Vv6Uu5Tt4Ss3Rr2Qq1Pp0
req_011CSHoEeqs5C35K2UUqR7Fy
run_01HXYZ123456789ABCDEFGHJK
thread_abc123def456ghi789jkl012
file-abc123DEF456ghi789JKL012
asst_abc123def456ghi789jkl012
cus_NffrFeUfNV2Hib
pi_3MtwBwLkdIwHu7ix28a3tqPa
prod_NWjs8kKbJWmuuc
resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b
::error file=app.py,line=3::Something failed
exit 1 ::error file=app.py::failed
step 12 ::error::bad thing
12::error::bad
3 ::error title=x::y
##[error]5::error::e
::warning::deprecated
::add-mask::abc
::group::Build 12
::endgroup::
::set-output name=a::b
::debug::12
p::before { content: "" }
a::after{}
.x:hover::before
input::-webkit-input-placeholder
Foo::Bar::Baz
DB::Exception
ABC::DEF
Dad::Bad
Cafe::Bed
face::dead
Net::HTTP::Post
ActiveRecord::Base
ab::cd::ef
std::bad_alloc
std::cdef
crate::ffi::a
x::<u8>::new
a::b::c
fe::be
12:30:45:123
12:30::45
10::20
1::2
00:00:00:00
01:02:03:04:05
10:15:30:22:11
2026:11:24:10:30:45
11:22:33:44:55:66:77:88:99:00
4:3:2:1
time 1:02:03:04
ratio 1:2:3:4:5:6:7:8
1:2:3:4:5:6:7:8:9
sort -k 1:2:3
a[1::2], b[::3], c[2::]
x[10::-1]
frame 00:01:02:03
tc 01:23:45:12
C4::E4::G4
dead:beef
version 1::0
listen on [::]
https://example.com/@user
https://medium.com/@user/post-1234
https://mastodon.social/@alice
https://example.com/a:b@c
https://example.com/path?email=a:b@c
https://x.com/a?next=//b:c@d
https://github.com/a/b/tree/main@v1.2
https://registry.npmjs.org/@scope/pkg
https://unpkg.com/react@18.2.0/index.js
https://cdn.jsdelivr.net/npm/vue@3.3.4
docker://registry.example.com:5000/a@sha256:abc
https://maps.example.com/@52.52,13.40,15z
git@github.com:a/b.git
git+ssh://git@github.com/a/b.git
https://user@example.com/x
ftp://anonymous@ftp.example.com
https://<user>:<password>@host/x
https://user:password@host/x
https://username:password@example.com
postgres://user:pass@host/db
postgresql://user:password@localhost:5432/db
mysql://USER:PASSWORD@HOST/db
https://{user}:{password}@host
https://$USER:$PASS@host
https://${USER}:${PASS}@host
https://%s:%s@host
https://user:****@host
https://user:xxxxx@host
https://user:[REDACTED]@host
https://user:<redacted>@host
mongodb://<username>:<password>@cluster0
redis://default:@host
amqp://localhost:5672/@vhost
@alice:matrix.org
@alice@mastodon.social
!room:matrix.org
@types/node@20.1.0
npm i @scope/pkg@1.2.3
s3://bucket:8080/a@b
order DE12345678901234567890
ref GB12ABCD12345678901234
invoice NL91ABNA0417164301
VAT DE123456789
tracking FR1234567890123456789012345
SKU BE12345678901234
part no. AT123456789012345678
serial NO1234567890123
The password manager Bitwarden2024 is great
Use a password with 12+ characters
password123 is a weak password
password1
passwords like hunter2 are weak
Password protected ZIP (AES-256)
Password (8-20 characters)
password [required]
| password | string | required |
| password | varchar(255) | NOT NULL |
| Password | min 8 chars | yes |
|password|text|
password    VARCHAR(64),
password_digest: string
password_changed_at: 2026-11-24T10:30:45Z
password_last_set = 133456789012345678
last_password_change: 2026-11-24
password_attempts: 3
password.length > 8
password.trim()
password?.length
if (!password) throw new Error("E1001")
if password == "": return
assert password is not None
def test_password_too_short_returns_400():
test_password_reset_flow_v2 PASSED
tests/test_password.py::test_hash_256 PASSED
/etc/passwd root:x:0:0:root:/root:/bin/bash
passwd: files systemd
passwd: password updated successfully
echo "starting v2 build" | tee log1
echo hello123 | grep 1
echo "done: 12345" | sudo tee -a /var/log/x
zip -r out.zip dir1
unzip -o archive-v2.zip -d /tmp/x
docker login registry.example.com
curl -u $USER:$TOKEN https://x
curl -u user: https://x
mysql -u root -p
mysql -h db1 -P 3306 -u app
redis-cli -h cache1 -p 6379 ping
redis-cli -a $REDIS_PASSWORD
sshpass -p $PASS ssh h
sshpass -f file1 ssh h
mongosh --port 27017 -p
xfreerdp /v:host1 /p:$PW
7z x archive1.7z -otarget1
ldapsearch -x -H ldap://ldap1:389 -b dc=example
htpasswd -c file1 user1
plink -ssh host1
auth=("user", PASSWORD)
auth=(user, pw)
requests.get(url, auth=auth)
login("user", get_password())
login(user1, pass1)
clave primaria: id_cliente_2024
palabra clave: python3
La clave del éxito en 2024
parola: modell2
clave foránea: cliente_id2
access code path: src/v2/main.py
pin 13 is HIGH
pin=13
GPIO pin: 17
PIN is required
pinned: 12345
pin: 3.2.1
mapping: 123456
spin: 1234
token: 12345
token_id: 50256
token ids [101, 2023, 102]
tokens: 128000
token "hello123" not found
token 'abc' is unexpected
EOS token 2 reached
next token: abc123def456ghi789
nextToken: "CAUQAA1234567890abcdefgh"
pageToken=CAUQAA1234567890abcdefghijkl
continuation_token: eyAiaWQiOiAxIH0
csrf token missing
token price: $0.0000123
token address 0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D
key pair my-keypair-2024 created
keys: user_id, order_2024
api key rotated 2026-11-24
api key limit 1000
API keys are stored in Vault v2
key=value
key: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
cache_key=model_v2_layer12_tokens4096
cache-key: Linux-node-abc123def456abc123def456abc123de
Cache restored from key: Linux-pip-3f786850e387550fdab836ed7e6dc881de23001b
cache hit for primary key Linux-build-3f786850e387550fdab836ed7e6dc881de23001b
missing key 'transformer.h.0.attn.c_attn.weight'
unexpected key "model.layers.31.mlp.down_proj.weight"
KeyError: 'choices_0_message_content_text'
redis key session:550e8400-e29b-41d4-a716-446655440000 expired
lock key 3f786850e387550fdab836ed7e6dc881de23001b
hash key 3f786850e387550fdab836ed7e6dc881de23001b
dedupe key: 3f786850e387550fdab836ed7e6dc881de23001b
kafka key=3f786850e387550fdab836ed7e6dc881de23001b
record key: 550e8400-e29b-41d4-a716-446655440000
node key 550e8400-e29b-41d4-a716-446655440000
etcd key /registry/pods/default/web-7d4b9c6f5d-x2k8q
host key verification failed
ED25519 key fingerprint is SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
RSA key 2048 bits
arrow keys 1234567890
{"key": "550e8400-e29b-41d4-a716-446655440000"}
{"name": "api_key", "type": "string", "description": "key1"}
{"name":"token","in":"header","example":"string"}
{"key":"status","value":"550e8400-e29b-41d4-a716-446655440000"}
{"key":"order","value":"abc123def456abc123def456"}
{"token": {"type": "string", "maxLength": 64}, "value": 3}
"tokens": [{"text": "hello", "id": 15339}]
variable "api_key" { type = string }
ключ к успеху 2024
ключевое слово: python3.11
schlüssel: wert
Schlüsselwort: python3
キーワード: python3.11
キーボード: model-k120-2024edition
キー: value
关键字: python
关键词: llm-agent-2024-benchmark
la clé est dans le fichier config.yaml
chiave primaria: 550e8400-e29b-41d4-a716-446655440000
chave primária: 550e8400-e29b-41d4-a716-446655440000
clave primaria: 550e8400-e29b-41d4-a716-446655440000
Primärschlüssel: 550e8400-e29b-41d4-a716-446655440000
первичный ключ: 550e8400-e29b-41d4-a716-446655440000
主键 550e8400-e29b-41d4-a716-446655440000
"""


RANDOM_NEAR_MISSES = {
    "EMAIL": ("§a5@§a4", "@§a6.route('/§a3')", "npm i @§a5/§a4@§d1.§d2.§d1", "§a4@§d1x.png", "ssh §a5@§a4 'ls'", "user@§d4.service failed", "git@github.com:§a6/§a5.git", "§a3 @ §a4.py line §d2"),
    "PHONE": (
        "order §d3-§d3-§d4 shipped", "2026-§d2-§d2 took §d4 ms", "id §d10", "ts=17§d8", "§d3.§d3 ms", "build 20241124.§d6", "+§d8 bytes", "order number §d4-§d4-§d4",
        "lat=§d2.§d6 lng=-§d2.§d6", "§x8-§x4-4§x3-8§x3-§x12", "ISBN 978-§d1-§d2-§d6-§d1", "reservation §A6", "§d6 rows in §d4 ms", "part no. §d3-§d4", "error §d5 at line §d4", "zip §d5-§d4",
    ),
    "CARD": ("order §L16", "§L4 §d4", "id=§L13", "trace §L19", "1732§L12", "invoice 9§L15", "ref §L14", "pi 3.§d15", "0.§d16", "§L16 units", "account §L12", "epoch_ns 17§L17"),
    "SSN": ("§d2-§d3-§d4", "§d4-§d2-§d4", "000-§d2-§d4", "666-§d2-§d4", "9§d2-§d2-§d4", "part §d3-§d2-§d4-§d2", "§d3-§d2-§d3", "2026-§d2-§d2", "zip §d5-§d4", "v§d3.§d2.§d4", "SKU §d3-§d2-§d4"),
    "IBAN": ("DE00§d18", "GB00§A4§d14", "§A2§d20 ref", "XX§d20", "sku §A2§d2-§A4-§d4", "§A3§d6", "flight §A2§d4", "NO§d5", "§x32", "order §A2§d8", "model §A2§d3 v§d2", "FR00§d23"),
    "IPV4": (
        "version §d1.§d2.§d1.§d1", "v§d1.§d1.§d1.§d1", "§A1§a5/§d1.§d2.§d1.§d1", "pkg==§d1.§d1.§d1.§d1", "§d1.§d1.§d1", "§d1.§d1.§d1.§d1.§d1", "3§d2.§d1.§d1.4§d2", "section §d1.§d1.§d1.§d1", "build §d2.§d1.§d1.§d1",
        "lib-§d1.§d1.§d1.§d1.jar", "took §d3.§d3 s", "release §d1.§d1.§d1.§d1", "firmware §d1.§d1.§d2.§d1",
    ),
    "IPV6": ("1§d1:2§d1:3§d1", "§a5::§a4", "std::§a6", "2026-11-24T1§d1:2§d1:3§d1", "x[§d1::§d1]", "ratio §d2:§d1", "§a3:§a3:§a3", "arn:aws:s3:::§a6", "sha §x40", "§A1§a4::§A1§a5::§a4", "at §d2:§d2:§d2.§d3"),
    "MAC": ("§x2:§x2:§x2", "§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2:§x2", "1§d1:2§d1:3§d1", "§x12", "§d4.§d4.§d4", "24-11-2§d1-10-3§d1-4§d1", "§x8-§x4", "§x4-§x4-§x4"),
    "URL_CREDENTIALS": ("https://§a6.com/§a4:§d2", "http://§a5:§d4/§a3", "https://§a5.io/@§a4", "redis://§a5:6379/0", "see https://§a5.org/?q=§a3:§a3", "https://§a4.com/p@§a3", "grpc://§a5.§a3:§d4"),
    "JWT": ("eyJ§x20", "§x8.§x8.§x8", "eyJ§a4.§a3", "§a5.§a6.§a7", "key eyJ§a12==", "§x40", "module.§a5.§a9"),
    "PEM": ("-----BEGIN §A3 KEY-----", "-----§a5-----", "----- §a6 §a4 -----", "missing -----END PRIVATE KEY----- in §a5", "BEGIN TRANSACTION §d4", "--- a/§a5.py"),
    "API_KEY": (
        "sk-§a5-§a4", "commit §x40", "sha256:§x64", "§x32", "§x8-§x4-4§x3-8§x3-§x12", "hf_§a8", "token_count=§d4", "max_tokens: §d4", "gh_§a6", "key_§a6=§d3", "call_§x24", "chatcmpl-§x29", "run_§x12",
        "primary_key=§a8_id", "next_token=§x24", "cache_key: §x32", "xoxo §a5", "token: §d5", "AKIA §a4", "secret_§a6: §a4", "etag §x32", "msg_§x20", "req_§x16",
    ),
    "BEARER_TOKEN": ("Bearer §a5", "bearer of §a6", "Bearer token §a6", "Authorization: §a4", "bearer §a7 §a6", "token §a6", "unauthorized: §a6", "Bearer realm=\"§a5\""),
    "BASIC_AUTH": ("basic §a8", "Basic §a7 plan", "basic auth §a6", "Basic realm=\"§a5\"", "BASIC §a4", "visual basic §d1.0", "basic §a5, §a9"),
    "PASSWORD": ("password is §a8", "password: must be §d2 characters", "password_§a5=§d2", "password=None # §a5", "wrong password for §a6", "password field §a5", "passwords §a5", "pass §d2 of §d2", "password=***§a3", "reset password §a5"),
    "HOME_USER": ("https://§a6.com/home/§a5", "/homes/§a5", "/usr/§a5/§a4", "/opt/§a6", "GET /home/§a6", "/api/users/§a5", "C:\\Windows\\§a6", "/var/lib/§a6", "home/§a5", "/tmp/§a8"),
}  # fmt: skip
"""Forms by what they are mistaken for (`fill` says what `§` stands for)."""


def rows() -> Iterator[dict]:
    """Yield `{"text", "spans"}`: at least 60 texts an entity, then the near misses in several carriers."""
    for entity, (values, carriers) in _values().items():
        length = max(60, len(values), len(carriers))
        # Walk values and carriers at coprime steps, so that all of both occur and pairs do not repeat early.
        value, step = cycle(values), 0
        for i in range(length + len(values)):
            carrier = carriers[(i + step) % len(carriers)]
            if (i + 1) % len(carriers) == 0:
                step += 1
            text = next(value)
            before, after = carrier.split("§")
            if text.startswith("eyJ") and "Bearer" in carrier:
                continue
            yield {"text": before + text + after, "spans": [[len(before), len(before) + len(text), entity]]}
    for entity, (values, forms) in FORMS.items():
        for i, form in enumerate(forms.strip("\n").splitlines()):
            before, after = form.replace("\\n", "\n").replace("\\\\", "\\").split("§")
            yield {
                "text": before + values[i % 3] + after,
                "spans": [[len(before), len(before) + len(values[i % 3]), entity]],
            }
    rnd = random.Random(7)
    for i, miss in enumerate(line.replace("\\\\", "\\") for line in NEAR_MISSES.strip().splitlines()):
        yield {"text": miss, "spans": []}
        if ":" not in miss[:12] and "=" not in miss:  # a carrier would make other words the key of it
            yield {"text": _PLAIN[1 + i % (len(_PLAIN) - 1)].replace("§", miss), "spans": []}
    for forms in RANDOM_NEAR_MISSES.values():
        for i in range(120):
            yield {"text": fill(forms[i % len(forms)], rnd), "spans": []}


def fill(form: str, rnd: random.Random) -> str:
    """Replace `§d4` by four digits, `§x8` by hex, `§A2` and `§a2` by letters, `§L16` by sixteen digits that
    fail Luhn, `§b0` by a number below 256.
    """

    def one(match: re.Match[str]) -> str:
        kind, length = match.group(1), int(match.group(2))
        if kind == "b":
            return str(rnd.randrange(256))
        alphabet = {"d": "0123456789", "L": "0123456789", "x": _HEX, "A": _ALNUM[:26], "a": _ALNUM[26:52]}[
            kind
        ]
        value = "".join(rnd.choice(alphabet) for _ in range(length))
        return value[:-1] + str((int(value[-1]) + 1) % 10) if kind == "L" and luhn_holds(value) else value

    return re.sub("§([dLxAab])([0-9]+)", one, form)
