"""Words of a text, and of which kinds they are: of passwords, codes, keys, logins, users, ids.

What goes here: where words begin and end, their kinds in some thirty languages. What does not: what a kind
near a value tells of it (`likelihood.py`).
"""

import re
from functools import lru_cache

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.rule import MASKED, any_case

_WITHIN = {
    "password": "passw|passphrase|pwd|kennwort|contrase|senha|wachtwoord|adgangskode|kodeord|hasł|haslo|hesl"
    "|lozink|slaptažod|lösenord|salasõn|salasan|jelsz|şifre|sifre|parol|mật khẩu|khẩu|sandi|laluan|lykilorð"
    "|pasahitz|κωδικ|συνθηματικ|парол|лозинк|geslo|パスワード|密码|密碼|口令|비밀번호|비번|암호|مرور|سر"
    "|رمز عبور|گذرواژه|סיסמ|पासवर्ड|পাসওয়ার্ড|கடவுச்சொல்|รหัส",
    "code": "passcode|zugangscode|sicherheitscode|bestätigungscode|digicode|pincode|combination|暗証番号"
    "|コード|验证码|驗證碼|인증|رمز|otp",
    "key": "apikey|token|schlüssel|webhook|license|licence|signature|секрет|токен|ключ|密钥|金鑰|キー"
    "|トークン|키|مفتاح",
    "secret": "secret|geheim|segret|secreto|credential|zugangsdaten|credencia|identifiant|credenzia",
    "phone": "phone|telef|teleph|telemó|telemov|télép|téléc|teléf|telep|mobil|móvil|handy|cellu|celular"
    "|whatsapp|hotline|rufnummer|durchwahl|puhelin|τηλέφ|κινητ|телеф|мобил|电话|電話|手机|手機|携帯|連絡先|座机|固话|전화"
    "|휴대|핸드폰|연락처|☎|📞|📱|📲|✆"
    "|هاتف|جوال|موبا|تلف|تليفون|טלפון|נייד|फ़ोन|फोन|मोबाइल|ফোন|โทร|เบอร์|điện thoại|msisdn"
    "|voicemail|numarası",
    "call": "llam|appel|chiam|anruf|rückruf|erreich|zadzwo|dzwon|звон|kontakt|contact|arayab|arayın|soita"
    "|zavol|折り返し|拨打|联系|聯絡|連絡|اتصل|התקשר|ringa|ringe|recado|sunați|hívj|hívás|joind|joign|rejoin|reach|dial"
    "|問い?合わせ|咨询|문의",
    "number": "number|nummer|numero|número|numéro|numer|номер|numara|号码|號碼|番号|번호|رقم",
    "login": "login|logon|signin|anmeld|zugang|acceso|accesso|acesso|connexion|вход|логин|доступ|dostęp"
    "|přihl|inlog|wlan|wifi|hotspot|voicemail",
}
_WHOLE = {
    "password": "pass|passe|pw|pwds|psw|psk|mdp|clave|wpa2?|sae|userpass|dbpass|sshpass|htpasswd|pgpass",
    "code": "pin|pins|puk|cvv2?|cvc2?|tan|mfa|code|codes|código|codice|kod|kodu|kodunuz|код|кода|combo|unlock"
    "|totp",
    "key": "key|keys|jwt|bearer|hmac|serial|clé|chave|pat",
    "secret": "creds?|secrets?|vault",
    "phone": "tel|tél|fax|telefax|sms|mob|ph|gsm|tlf|tlfn|tfn|tfno|telp|cep|cell|kom|landline|portable|natel"
    "|viber|signal|telegram|sđt|extension|ext|desk|office|home|zap|whats|wa",
    "call": "call|calls|called|calling|caller|ring|rang|text|texted|bel|belt|ligue|ligar|liga|nås|når|ruf"
    "|rufen|callback|line|hívjon|answering|answers?",
    "number": "no|nr|num|núm|č",
    "login": "ssid|safe|alarm|door|gate|lock|locker|sudo",
    "who": "coach|tutor|trainer|drivers?|maid|cleaner|gardener|sitter|plumbers?|plumbing|electricians?"
    "|locksmith|dentist|doctor|dr|vet|pharmacy|clinic|hospital|taxi|cab|courier|landlord|landlady|handyman"
    "|roofer|carpenter|painter|builder|contractor|mechanic|garage|towing|movers?|florist|bakery|pizzeria"
    "|pizza|restaurant|trattoria|hotel|hostel|nanny|babysitter|nurse|school|lawyer|attorney|notary"
    "|accountant|realtor|salon|barber|hairdresser|physio|therapist|surgery|wife|husband|mom|mum|dad|brother"
    "|sister|daughter|neighbou?r|secretary|concierge|caretaker|ambulance|police|reservations?|bookings?"
    "|heating|roofing|klempner|elektriker|schlüsseldienst|schlosser|(?:zahn|tier|haus)?(?:arzt|ärztin)"
    "|praxis|apotheke|klinik|werkstatt|hausmeister|vermieter(?:in)?|handwerker|maler|dachdecker|heizung"
    "|sanitär|abschleppdienst|friseur|anwalt|kanzlei|steuerberater|makler|kita|schule|pension|oma|opa"
    "|notdienst|bereitschaft|kundendienst|plombier|électricien|serrurier|dentiste|médecin|docteur"
    "|vétérinaire|pharmacie|garagiste|dépannage|gardien|propriétaire|nounou|avocat|notaire|coiffeu(?:r|se)"
    "|boulangerie|mairie|école|crèche|infirmière|kiné|cabinet|fontanero|plomero|electricista|cerrajero"
    "|dentista|médico|veterinari(?:o|a)|farmacia|taller|grúa|casero|portero|abogad(?:o|a)|peluquería|niñera"
    "|colegio|mecánico|albañil|pintor|idraulico|elettricista|fabbro|medico|dottor(?:e|essa)|officina"
    "|meccanico|carrozziere|avvocato|notaio|commercialista|parrucchiere|muratore|studio|encanador"
    "|canalizador|eletricista|chaveiro|serralheiro|veterinári(?:o|a)|farmácia|oficina|mecânico|porteiro"
    "|advogad(?:o|a)|babá|pedreiro|loodgieter|elektricien|slotenmaker|tandarts|huisarts|dierenarts|apotheek"
    "|huisbaas|advocaat|kapper|oppas|makelaar|aannemer|schilder|hydraulik|elektryk|ślusarz|dentysta|lekarz"
    "|weterynarz|apteka|mechanik|warsztat|fryzjer|adwokat|notariusz|przychodnia|laweta|niania|serwis"
    "|rörmokare|låssmed|tandläkare|läkare|vårdcentral|apotek|rørlegger|tannlege|lege|vvs|tandlæge|læge"
    "|putkimies|sähkömies|lukkoseppä|(?:hammas)?lääkäri|instalatér|elektrikář|zámečník|zubař|lékař"
    "|vízszerelő|villanyszerelő|fogorvos|orvos|instalator|stomatolog|tesisatçı|elektrikçi|çilingir|dişçi"
    "|doktor|eczane|сантехник|электрик|слесарь|стоматолог|врач|ветеринар|аптека|автосервис|мастер|репетитор"
    "|няня|водитель|gärtner|putzfrau|schreiner|tischler|couvreur|maçon|jardinier|chauffagiste|carpintero"
    "|jardinero|chofer|limpieza|falegname|giardiniere|autista|ferramenta|marceneiro|jardineiro|motorista"
    "|faxineira|diarista|timmerman|tuinman|stukadoor|fietsenmaker|stolarz|kominiarz|kierowca|murarz|snickare"
    "|murare|snekker|tømrer|murer|šofér|truhlář|malíř|zidar|šofer|marangoz|şoför|bakıcı|kapıcı",
}
_AROUND = {
    "key": "sig|sign|sess|session|cookie|cookies|auth|authorization|api",
    "login": "sign|wi|fi|guest|ldap|smtp|imap|ftp|sftp|ssh|vpn|basic",
    "user": "user|users|username|usr|uid|admin|root|account|benutzer|usuario|utilisateur|utente|member"
    "|customer|kunde",
    "id": "ids?|uuid|hash|sha[0-9]*|digest|checksum|etag|commit|version|ver|revision|fingerprint|ref|image"
    "|branch|model|pod|trace|span|request|run|order|build|job|task|file|folder|path|dir|host|node|instance"
    "|object|block|event|message|thread|number|no|nr|invoice|ticket|issue|error|status|exit|country|postal"
    "|zip|line|port|page|step|rfc|public|primary|foreign|cache|partition|sort|len|length|count|size|limit"
    "|max|min|policy|md5",
    "verb": "set|change|changed|reset|type|typed|enter|entered|use|used|using|try|tried|say|says|said|told"
    "|is|was|ist|est|es|è|é|jest|to|now|new|old|temporary|temp|initial|default",
}
"""Words by kind: such as may be a part of a longer one, such as are whole, and such as are whole and none for
which words are scored."""
SIGNS = ("password", "code", "key", "secret", "login")
NUMBER_SIGNS = ("phone", "call", "number", "who")
"""Kinds of words near which there are secrets, and telephone numbers."""
KINDS = (*SIGNS, *NUMBER_SIGNS, "user", "id", "verb", "masked")


def _of_kind(kind: str) -> str:
    whole = "|".join(words[kind] for words in (_WHOLE, _AROUND) if kind in words)
    return "|".join([*(words[kind] for words in (_WITHIN,) if kind in words), f"(?:^|_)(?:{whole})(?:_|$)"])


_kinds_in = linear.any_of(_of_kind(kind) for kind in KINDS[:-1])
_UNCASED = "\u0590-\u06ff\u0900-\u0eff\u1100-\u11ff\u3040-\u318f\u3400-\u9fff\uac00-\ud7af"
_SEPARATORS = " \\t\\n\\f\\r\"'`“”«»„「」『』()\\[\\]{}<>,;=|:/\\\\→➜、。，：；（）\x1e\x1f"
_find_words = linear.finder(f"{MASKED}|[{_UNCASED}]+|[^{_SEPARATORS}{_UNCASED}]+")
_plain_words = re.compile(f"{MASKED}|[^{_SEPARATORS}]+".encode("ascii", "ignore")).finditer
"""The same of a text in ASCII, sooner: one class that is repeated, so linear in the text as well."""
_find_parts = linear.finder("\\p{Lu}+\\p{Ll}*|\\p{Ll}+|[0-9]+|[^\\x00-\\x7f]+")
_is_uncased = linear.searcher(f"^[{_UNCASED}]")


def _sign(kinds: tuple[str, ...]) -> str:
    within, whole = (
        "|".join(any_case(words[kind]) for kind in kinds if kind in words) for words in (_WITHIN, _WHOLE)
    )
    return f"{within}|(?:^|[^A-Za-z])(?:{whole})(?:[^A-Za-z]|$)"


SIGN, NUMBER_SIGN = f"{_sign(SIGNS)}|[a-z]Key(?:[^a-z]|$)", _sign(NUMBER_SIGNS)
"""What is a word for a secret in a text, and for a telephone number."""

Word = tuple[int, int, bytes]
"""Where a word begins and ends in a text, in bytes, and the word."""


def words_of(text: bytes, start: int, end: int) -> list[Word]:
    """Return the words between two places of a text, which are moved to where characters begin."""
    while 0 < start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    part = text[start:end]
    if part.isascii():
        return [(start + one.start(), start + one.end(), one[0]) for one in _plain_words(part)]
    return [(start + a, start + b, part[a:b]) for a, b in _find_words(part)]


@lru_cache(maxsize=8192)
def parts_and_kinds(word: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the parts of a word (`dbPass` has two), in small letters, and of which kinds it is."""
    if word.startswith(b"<"):
        return (word.decode(),), ("masked",)
    word = word[:64]
    if word.isalpha() and (word[1:].islower() or len(word) == 1):
        parts, joined = (word.decode().lower(),), word.lower()
    else:
        parts = tuple([word[a:b].decode(errors="replace").lower() for a, b in _find_parts(word)])
        joined = "_".join(parts).encode()
    kinds = tuple(KINDS[place] for place in sorted(_kinds_in(joined)))
    return parts or (word[:4].decode(errors="replace"),), kinds


def is_uncased(word: bytes) -> bool:
    """Tell whether a word is of a script without capitals, whose words no blank divides."""
    return word[0] > 0xD5 and _is_uncased(word)


def kinds_near(words: list[Word], place: int) -> tuple[str, ...]:
    """Return of which kinds the nearest sign before a word is, or the nearest behind it."""
    around = [*range(place - 1, max(place - 13, -1), -1), *range(place + 1, min(place + 7, len(words)))]
    return next((kinds for one in around if set(kinds := kinds_of(words[one][2])).intersection(SIGNS)), ())


def kinds_of(word: bytes) -> tuple[str, ...]:
    """Return of which kinds a word is."""
    return parts_and_kinds(word)[1]
