"""Telephone numbers: by calling code, by national form, by the word before them."""

from fl_assets.events.redaction.blocks import ASSIGN, QUOTE
from fl_assets.events.redaction.numbers import (
    IS_NUMBERED,
    NOT_TAILED,
    NUMBERED,
    NUMBERED_ABROAD,
    NUMBERED_EDGE,
    UNIT,
)
from fl_assets.events.redaction.rule import DASH, EDGE, TAIL, WORD, Rule, Unless, any_case

_EXTENSION_WORD = f"(?:{any_case('(?:extension|extn|ext|durchwahl|poste)')}[.:=]{{0,2}}|[xX#])"
_EXTENSION = f"(?:(?:[ ,;]{{0,3}}{_EXTENSION_WORD}[ ]{{0,2}}[0-9]{{1,6}})?)"
_CALLING_CODE = (
    "(?:[17]|2[07]|2[1-689][0-9]|3[0-469]|3[578][0-9]|4[013-9]|42[0-9]|5[1-8]|5[09][0-9]|6[0-6]|6[7-9][0-9]"
    "|8[1246]|8[0578][0-9]|9[0-58]|9[679][0-9])"
)
_GAP = f"[ ./(){DASH} ]{{0,3}}"
_WORD_GAP = "[^0-9\r\n(+]{0,24}"
_LONG_WORDS = any_case(
    "phones?|telephones?|telefon|teléfono|telefono|telemóvel|téléphone|telefone|telefoon|mobile|móvil|mobil|cellphone"
    "|whatsapp|hotline|handy|natel|cellulare|celular|puhelin|τηλέφωνο|mobilszám|msisdn"
    "|phone[_ -]?(?:number|no)|rufnummer|телефон|sđt|điện thoại|telepon"
    "|nomor hp|no hp|nomor wa|ponsel|mobiel|número de contacto|número de contato|numéro de contact"
)
_UNCASED_WORDS = (
    "回电|致电|拨打|电话|電話|手机|手機|携帯|連絡先|座机|座機|固话|전화|휴대폰|핸드폰|연락처"
    "|هاتف|جوال|موبايل|موبایل|تلفن"
    "|تليفون|تلفون|טלפון|נייד"
    "|फ़ोन|फोन|मोबाइल|ফোন|โทร|เบอร์"
)
_SHORT_WORDS = "(?:tel|tél|fax|sms|mob|ph|puh|gsm|tlf|tlfn|tfn|tfno|telp|cep|cell|cel|fixe|kom)"
_PHONE_WORD = (
    f"(?:(?:(?:{_LONG_WORDS})|{_UNCASED_WORDS}|(?:[Тт]ел|[Мм]об|[Ττ]ηλ|[Κκ]ιν)[.:]){_WORD_GAP}"
    f"|{any_case(_SHORT_WORDS)}(?:[^a-z0-9\r\n(+]{_WORD_GAP})?)"
)
"""A word for a telephone and what may stand between it and the number; after a short word no small letter
does: `Bestellung` is no telephone."""
_NO_TELEPHONE = any_case(
    "(?:template|campaign|layout|graph|sold|stack|counts?|total|users|batch|queue|sku|viewport|screen|ticket|quota|column|version|size|tip|build|index)"
)
"""Words that, right before a number, make it one of something about telephones."""
_CALL_WORD = any_case(
    "(?:call|dial|text|contact|ring|reach|cell|callback"
    "|(?:my|your|his|her|their|our|this|contact|emergency|direct|office|home|work|cell|best) "
    "(?:number|line|no[.])"
    "|bel|bel(?:t)? (?:u |je )?(?:mij|ons)(?: even)?(?: terug)?|llamar al cliente(?: mañana)?"
    "|når (?:du )?mig|nå mig|beni"
    "|ring|rückruf(?: erbeten| gewünscht)?|anruf|ruf|rufen sie|ll(?:a|á)m(?:a|e|ar|en)(?:me|nos|le|lo)?"
    "|appel(?:le|ez|er)(?:-moi|-nous)?|chiam(?:a|i|ate|are)(?:mi|ci)?|ligue"
    "|(?:mi|meu|min|mitt|mijn|meine?|il mio|mon|mój|мой|мое|моё) "
    "(?:numero|número|numéro|numer|nummer|номер|celular|móvil|cellulare|portable|handynummer)"
    "|contáct(?:e|a)(?:nos|me)|escríb(?:e|a)(?:nos|me)|localizarme|encuentras|encontrarme|ubicarme|bereikbaar|bereiken|terugbellen|terug"
    "|meu (?:contato|zap|whats)"
    "|(?:mera|meri|apka|aapka|uska|unka|iska|hamara) (?:mobile |phone )?(?:number|no)|mijn 06(?:-nummer)?"
    "|zadzwoń|dzwoń|zavolejte|позвони(?:те)?|звоните)"
)
_CALL_GAP_WORDS = any_case(
    "me|us|him|her|them|back|now|at|on|to|the|this|number|is|today|via|my|our|your|office|desk|home|cell"
    "|mobile|line|directly|was|or|please|for help|mij|ons|op|mig|oss|på|mich|uns|an|bitte|unter"
    "|al|a|au|nous|moi|il|o|para|pro|es|est|ist|è|é|är|er|to|по|на|мне|нам|numero|número|numéro|numer|nummer|номер|номеру"
    "|телефону|aan|naar|en|el|hai"
)
_CALL_GAP = f"(?:[ ](?:{_CALL_GAP_WORDS})){{0,4}}[:,]?[ ]"
_NOT_COUNTED = f"((?:[.{DASH}]?{TAIL})*(?:[ ]{UNIT})?)"
"""The same with what was counted, in a place where a number of seven digits may be one."""
_DATE = (
    "(?:(?:19|20)[0-9]{2}[-./ ]?[01][0-9][-./ ]?[0-3][0-9]|[0-3][0-9][-./ ][0-3][0-9][-./ ](?:19|20)[0-9]{2})"
)
_FRENCH = "0[1-9](?:(?: [0-9]{2}){4}|(?:[.][0-9]{2}){4}|(?:-[0-9]{2}){4})"
_NATIONAL = "|".join(
    (
        _FRENCH,
        f"0[1-9][0-9]{{1,3}}[ {DASH}][0-9]{{3,4}}[ {DASH}][0-9]{{3,4}}",
        f"0[1-9][0-9]{{1,3}}[ /{DASH}][0-9]{{6,8}}",
        "0[1-9][0-9]{1,3}-[0-9]{2,3}(?: [0-9]{2}){2}",
        "0[1-9][0-9]{2}[ -][0-9]{3} [0-9]{2} [0-9]{2}",
        f"0[1-9][0-9]{{1,4}} ?/ ?[0-9]{{3,5}}[ {DASH}][0-9]{{2,4}}(?:[ {DASH}][0-9]{{2,4}})?",
        f"0[1-9][0-9]{{1,4}} ?/ ?[0-9]{{2}}[ {DASH}][0-9]{{2}}[ {DASH}][0-9]{{2,3}}",
        "06[ -][1-9][0-9]{7}",
        f"[(]0[0-9]{{1,4}}[)][ ]?[0-9]{{3,4}}[ {DASH}]?[0-9]{{3,5}}",
        f"[(]0[1-9][0-9]{{1,3}}[)][ ]?[0-9]{{2,3}}(?:[ {DASH}][0-9]{{2}}){{2}}",
        f"[(][1-9][0-9][)] ?9?[0-9]{{4}}[ {DASH}][0-9]{{4}}",
        "0[1-9]-[0-9]{3,4}-[0-9]{4}",
        "(?:8[ -]?)?[(][0-9]{3}[)] ?[0-9]{3}-[0-9]{2}-[0-9]{2}",
        "8[ -][0-9]{3}[ -][0-9]{3}[ -][0-9]{2}[ -][0-9]{2}",
    )
)

_ANY = f"[+(]?[0-9](?:{_GAP}[0-9]){{5,13}}"
"""Six digits and more with what may stand between them: a telephone if something says so."""
_KINDS = any_case("(?:office|fax|mobile|cell|landline|home phone|work phone|direct line|handy|mobil|tel)")
_LABEL = f"(?:^|[^A-Za-z])(?:{_LONG_WORDS}|{any_case('tel|fax|mob|cell|contact')})"
_VERBS = any_case(
    "(?:(?:not )?(?:answering|answer|available|reachable|responding|picking up) (?:at|on|under)"
    "|(?:messages|texts|text messages|sms|calls|otp|code|codes|voicemails?) (?:to|from|at|on)"
    "|(?:calling|called|dialing|dialling|dialed|texting|texted|rang|phoned|phoning|ringing)"
    "|(?:can|could|please|to|may|should|must) (?:call|phone|dial|ring|text)"
    "|(?:reach(?:ed)?|contact(?:ed)?) (?:me|us|her|him|them|you|the office)? ?(?:at|on|under|via)"
    "|(?:old|new|other|private|personal|second|phone|mobile) number(?: is| was)?|number is now)"
)
_NAMED = (
    "(?:^|[^A-Za-z])"
    + any_case("(?:callback|contact|caller|customer|sms|recipient|emergency|home|work|cell|office)")
    + f"[_ -]?{any_case('(?:number|no|nr|num)')}"
)
_CALLER = f"{any_case('(?:caller|wa|whatsapp)')}[_ -]?{any_case('id')}"
_CALLER_ID = f"(?:^|[^A-Za-z]){_CALLER}(?:{ASSIGN}{QUOTE}?|[ ]{{1,2}})"
_PORTABLE = f"(?:^|[^A-Za-z]){any_case('portable')}[ ]?:[ ]?"
_OF_AN_OFFICE = any_case(
    "(?:number|nummer|numero|número|numéro|numer|номер) "
    "(?:of|for|vom|van|del|dell[’']|da|do|di|du|de la|de|)[ ]?(?:the |het |la )?"
    "(?:office|büro|kantoor|ufficio|studio|oficina|escritório|bureau|réception|reception|recepción|biura|офиса"
    "|zentrale)"
    "(?: is| ist| è| es| é| est| jest|:)[ ]"
)
_SERVICE = any_case(
    "(?:kunden(?:dienst|service)|klanten(?:service|dienst)|kunde?(?:tjänst|service)|asiakaspalvelu"
    "|help ?(?:desk|line)|(?:customer|support|service|info) ?(?:care|line|centre|center)|toll[- ]free"
    "|(?:customer|technical|phone) (?:support|service)|reception(?: desk)?|front desk|switchboard"
    "|infolin(?:ia|e|ea)|(?:servicio|soporte)(?: técnico| al cliente)?|(?:línea de )?atención(?: al cliente)?"
    "|(?:servizio|assistenza) (?:clienti|tecnica)|centralino|centralita|recepción|ouvidoria|numero verde"
    "|assistência(?: técnica)?|services? (?:clients?|après-vente)|assistance(?: technique)?"
    "|numéro vert|biuro obsługi(?: klienta)?|müşteri hizmetleri"
    "|(?:danışma|destek) hattı|çağrı merkezi|sekretariat|auskunft|rückfragen|linha de apoio"
    "|zákaznická linka|vevőszolgálat|relații cu clienții|горячая линия|notruf|notdienst|bereitschaft"
    "|serwis|växel|empfang|vermittlung|praxis|kanzlei)"
)
"""Who may be called, right before the number."""
_WEAK_SERVICE = any_case(
    "(?:serwis|servicio|soporte|atención|assistance|reception|recepción|empfang|praxis|kanzlei|växel|vermittlung"
    "|auskunft|rückfragen|sekretariat)"
)
"""The same, but what may have a number as well."""
_CALLED_AT = any_case("(?:pe|par|ko|pr) (?:call|phone|ring|message|msg|sms|whatsapp|miss ?call)")
_NO_MOBILE = "[号號单單码碼编編量数]|(?:[Зз]аказ|[Тт]рек|[Нн]акладн|[Сс]ч[её]т|[Дд]оговор|строк|байт)[а-я]*"
_NUMBER_ALONE = any_case("(?:nummer|number|numero|número|numéro|номер)")

RULES = (
    Rule(
        "PHONE",
        f"({EDGE}+.])((?:[+]|%2[Bb])(?:1{_GAP}[2-9][0-9]{{2}}{_GAP}[0-9]{{3}}{_GAP}[0-9]{{4}}"
        f"|1[ .-]?555[ .-][0-9]{{4}}|{_CALLING_CODE}(?:{_GAP}[0-9]){{6,12}}[0-9]*){_EXTENSION})"
        f"((?:[{WORD}%][{WORD}]*|[ ]{UNIT})?)",
        examples=(
            "‹+44 20 7946 0958›",
            "‹+1 (415) 555-2671 x12›",
            "‹+44 20 7946 0958› EUR",
            "lead ‹+4917644382740›",
        ),
        stays=("+12345678 bytes", "+1 2345", "+1234567890123 delta"),
        need="(?:[^0-9]*[0-9]){8}.*",
        unless=(f"[+](?:[0-9]{{16}}|[0-9]{{1,3}}[.][0-9]{{4,8}}$|{_DATE})", Unless(before="^<[A-Z].*")),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"({NUMBERED_EDGE}|[0-9] |{EDGE}+.{DASH}])"
        f"((?:00 ?|011[ -]){_CALLING_CODE}[ ./(){DASH}]{{1,3}}[0-9](?:{_GAP}[0-9]){{5,11}}[0-9]*{_EXTENSION}"
        f"|00(?:4[013-9]|3[0-469]|35[138]|420|9[178]|8[16]|61|971)[0-9]{{8,11}})([{WORD}]*)",
        examples=("‹0044 20 7946 0958›",),
        unless=(f".*{_DATE}", Unless(before=IS_NUMBERED), Unless(before="^[0-9] .*")),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"((?:^|[^A-Za-z]|[a-hj-z]){_PHONE_WORD})([(]?[0-9](?:{_GAP}[0-9]){{6,13}}{_EXTENSION}){_NOT_COUNTED}",
        examples=(
            "phone: ‹5551234567›",
            "phone: ‹5551234567› Europe",
            "teléfono ‹5551234567›",
            "puh. ‹040 6129530›",
            "cel. ‹81 8123 4567›",
            "fixe ‹0142685300›",
            "tel‹5551234567›",
        ),
        stays=(
            "phone_id 5551234567",
            "cell 1234567 has NaN",
            "CEP 01310-100",
            "phone_count: 3456789",
            "phone SKU 0123456789",
            "mobile users: 1250000",
            "GET /phones/0123456789",
            "mobile data: 4177290 bytes",
            "parcel 3435703296 is out for delivery",
            "whatsapp template 467692805 approved",
            "Could you tell me where the order SO-3889700 is?",
            "cellulare rotto, fattura n. 5964711",
            "手机维修,单号960878229",
            "mobiel kapot, klantnummer: 70143255",
            "Telefonvertrag, Vertragsnummer 8820147731",
        ),
        unless=(
            f"(?:{_DATE}|[0-9]+[.][0-9]+|[0-9]{{1,3}}(?:[.][0-9]{{1,3}}){{3}}|[0-9]{{14,}})$",
            Unless(before=f"[a-z]{_SHORT_WORDS}[^A-Za-z]*$"),  # the end of a word
            Unless(before=f".?{any_case('cell')} $", value="[0-9]{7}$"),  # of a notebook
            Unless(before=f".?{any_case('cep')}[: ]*$", value="[0-9]{5}-[0-9]{3}$"),  # post in Brazil
            Unless(before="(?:[_ ][Ii][Dd]|[a-z]Id)[^A-Za-z]*"),
            Unless(before=f".*[^A-Za-z]{_NO_TELEPHONE}[^A-Za-z]{{1,4}}$"),
            Unless(before=f".*{NUMBERED_ABROAD}"),
            Unless(before="(?:.*[^A-Za-z])?[Pp]hones?/"),
            Unless(before="^<PHONE>.*"),
        ),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"({NUMBERED_EDGE}|[0-9] |{EDGE}+.{DASH}/])"
        f"((?:1[ .{DASH}])?(?:[(][0-9]{{3}}[)][ .{DASH}]{{0,2}}|[0-9]{{3}}[ .{DASH}/])"
        f"[0-9]{{3}}[ .{DASH}][0-9]{{4}}"
        f"{_EXTENSION}){_NOT_COUNTED}",
        examples=("‹(415) 555-2671›", "‹415-555-2671›", "‹415-555-2671› Ms. Lind", "‹415-555-2671› lines"),
        stays=("order 415-555-2671", "loaded 415 555 0132 bytes", "layout 320 480 768 1024"),
        unless=(
            "(?:[01][0-9]{2} [0-9]{3} |[0-9]{3} [01][0-9]{2} )[0-9]{4}",
            Unless(before=IS_NUMBERED),
            Unless(before="^[0-9] .*", value="[0-9]{3} [0-9]{3} [0-9]{4}$"),  # a column more
        ),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"((?:^|[^A-Za-z]){_CALL_WORD}{_CALL_GAP})"
        f"([6-9][0-9]{{4}} [0-9]{{5}}|[1-9]{{2}}[ -]9[0-9]{{4}}[ -][0-9]{{4}}"
        f"|(?:[18][ -])?[(]?[0-9]{{2,5}}[)]?[ ./{DASH}]{{1,3}}[0-9]{{2,4}}(?:[ .{DASH}]?[0-9]{{2,4}}){{0,4}}"
        f"{_EXTENSION}"
        f"|0[0-9]{{9,10}}|[2-9][0-9]{{9}}|[5-9][0-9]{{8}}){NOT_TAILED}",
        examples=(
            "puede llamar al ‹650055929›",
            "call me at ‹555 123 45 67›",
            "rufen Sie mich an unter ‹089 123456›",
            "Dial ‹98216 65812› for support",
            "contáctenos en el ‹603 949 275›",
            "apka number ‹98204 82716› hai kya",
            "te bereiken op ‹010 241 17 60›",
            "meu contato: ‹31 99274 1058›",
        ),
        stays=("call 12 34", "call 650055929 failed"),
        need="(?:[^0-9]*[0-9]){7}.*",
        unless=(
            f"(?:{_DATE}|[0-9]+[.][0-9]+)$",
            Unless(before="^[^A-Za-z]?[^ ]+[ ]", value="[0-9]{9}$"),
            Unless(before="^_.*"),  # tool_call
        ),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"({NUMBERED_EDGE}|[0-9] |{EDGE}+.{DASH}/])({_NATIONAL}){NOT_TAILED}",
        examples=(
            "‹01 42 68 53 00›",
            "‹0151-12345678›",
            "‹(020) 7946 0958›",
            "Rückfragen: ‹06221 / 48 73 19›.",
            "‹06-48271593›",
            "Rückfragen: ‹030 4989060›",
            "terug op ‹(024) 482 71 63›",
            "‹0771-48 27 16›",
            "이사업체 ‹02-712-0934›",
            "репетитор ‹8 (917) 120-93-44›",
        ),
        stays=("invoice 0151-12345678", "Bestellnummer 0151-12345678", "03-03-26-10-11"),
        unless=(
            f".*{_DATE}|[0-3][0-9]-(?:0[1-9]|1[0-2])-[0-9]{{2}}-[0-2][0-9]-[0-5][0-9]$",
            Unless(before=IS_NUMBERED),
            Unless(before="^[0-9] .*"),
        ),
        alone=True,
    ),
    Rule(  # pairs behind the code of a place, and no more of them
        "PHONE",
        f"({NUMBERED_EDGE}|[0-9] |{EDGE}+.{DASH}/])(0[2-9][0-9]{{1,3}}(?: [0-9]{{2}}){{3}})"
        f"((?: [0-9]|[.:{DASH}]?{TAIL})*)",
        examples=("Praxis Dr. Brandt, ‹06131 47 29 80›", "Anmeldung ‹0731 20 59 46›."),
        stays=("0730 20 59 46 11", "order 0731 20 59 46", "00000260 0731 20 59 46"),
        unless=(Unless(before=IS_NUMBERED), Unless(before="^[0-9] .*")),
        alone=True,
    ),
    Rule(  # a mobile telephone behind a word that is no number's
        "PHONE",
        "([一-鿿]{2,6}[ ：:]{0,2}|[А-Яа-яЁё]{3,20}[ :]{1,2})(1[3-9][0-9]{9}|[78]9[0-9]{9})" + NOT_TAILED,
        examples=("快递员 ‹13871209344›", "няня Оля ‹89171209344›"),
        stays=(
            "快递单号 13871209344",
            "订单编号13871209344",
            "заказ 89171209344",
            "номер заказа 89171209344",
        ),
        unless=(Unless(before=f".*(?:{_NO_MOBILE})[ ：:]*$"),),
        alone=True,
    ),
    Rule(  # what it is stands behind it
        "PHONE",
        f"(^|[^0-9A-Za-z+(.{DASH}])({_ANY}{_EXTENSION})([ ,{DASH}]{{1,2}}[(]?{_KINDS}(?:[^A-Za-z]|$))",
        examples=("‹96 228011› office", "‹(027) 7972-805›-Office\\,", "‹50-98-28-96› fax"),
        stays=("2026 office", "20260131 office"),
        unless=(f"{_DATE}$", "[0-9]+[.][0-9]+$"),
    ),
    Rule(  # as it is said in Hindi
        "PHONE",
        f"(^|[^0-9A-Za-z+(.{DASH}])({_ANY})([ ]{_CALLED_AT}(?:[^A-Za-z]|$))",
        examples=("mujhe ‹9820777383› pe call karo", "usko ‹7020 482 716› par message bhejo"),
        stays=("order 20260131 pe call karo",),
        need="(?:[^0-9]*[0-9]){8}.*",
        unless=(f"{_DATE}$", "[0-9]+[.][0-9]+$"),
    ),
    Rule(
        "PHONE",
        f"((?:^|[^A-Za-z]){_SERVICE}(?: [A-Z][a-zäöü]{{2,20}})?[ :.({DASH}]{{1,3}})({_ANY}){NOT_TAILED}",
        examples=(
            "Klantenservice ‹020-6202496›, ma-vr",
            "Infolinia ‹801 482 716›",
            "Bereitschaft Elektriker: ‹0341 48 27 16›",
            "customer care ‹1800 482 7163›",
        ),
        stays=(
            "helpdesk 20260131",
            "service center 482 716",
            "Kundenservice Ticket 4827163",
            "Sekretariat Raum 482 7163",
            "servicio 4471920 caído",
            "serwis: 4471920",
        ),
        need="(?:[^0-9]*[0-9]){7}.*",
        unless=(
            f"{_DATE}$",
            "[0-9]+[.,][0-9]+$|[0-9]+0{4}$",
            Unless(before=f".*[^A-Za-z](?:{NUMBERED}|Raum|Zimmer|Fall)[^A-Za-z]{{1,4}}$"),
            Unless(before=f".*{_WEAK_SERVICE}[^A-Za-z]*$", value="[1-9][0-9]*$"),
            Unless(before=f".*{NUMBERED_ABROAD}"),
        ),
        alone=True,
    ),
    Rule(  # the label is on the line before
        "PHONE",
        f"({_LABEL}[A-Za-z .]{{0,12}}:[ \t]?\r?\n[ \t]{{0,8}})({_ANY}{_EXTENSION}){NOT_TAILED}",
        examples=("Phone:\n  ‹22 498317›",),
        unless=(f"{_DATE}$", "[0-9]+[.][0-9]+$"),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"({_VERBS}[ :]{{1,2}})({_ANY}{_EXTENSION}){_NOT_COUNTED}",
        examples=("They're not answering at ‹449 4898›", "stop receiving messages to ‹0479 50 54 03›"),
        stays=("You can call 2026-11-30 a date", "failed calling 1000000 times"),
        unless=(f"{_DATE}$", "[0-9]+[.,][0-9]+$|[0-9]{6}$|[0-9]+0{4}$"),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"((?:{_NAMED}(?:{ASSIGN}{QUOTE}?)|{_CALLER_ID}|{_PORTABLE}))({_ANY}{_EXTENSION}){NOT_TAILED}",
        examples=(
            "caller id ‹212-757-5386›",
            '"wa_id":"‹4915555018293›"',
            "Portable : ‹0713999311›",
            "callback_number: ‹(020) 7946 0958›",
            '"customerNumber": "‹0151 2345678›"',
        ),
        stays=("customer_number=20260131",),
        need="(?:[^0-9]*[0-9]){7}.*",
        unless=(f"{_DATE}$", "[0-9]+[.][0-9]+$", Unless(before=".*[Cc]ustomer.*", value="[0-9]+$")),
        alone=True,
    ),
    Rule(
        "PHONE",
        f"((?:^|[^A-Za-z]){_OF_AN_OFFICE})({_ANY}{_EXTENSION}){NOT_TAILED}",
        examples=("Il numero dell'ufficio è ‹06 5550 1844›.", "de nummer van het kantoor is ‹020 555 0184›"),
        stays=("the number of office is 3",),
        need="(?:[^0-9]*[0-9]){7}.*",
        unless=(f"{_DATE}$", "[0-9]+[.][0-9]+$"),
        alone=True,
    ),
    Rule(  # in France a telephone that is carried
        "PHONE",
        f"((?:^|[^A-Za-z]){any_case('portable')} )(0[67](?:[0-9]{{8}}|(?:[ .-][0-9]{{2}}){{4}})){NOT_TAILED}",
        examples=("portable ‹0723203929›",),
        stays=("portable 0723", "portable 0123456789"),
        alone=True,
    ),
    Rule(  # a number that nothing but its form names
        "PHONE",
        f"((?:^|[\r\n]|[-*>] ){_NUMBER_ALONE}: ?)"
        f"(0[0-9]{{1,4}}(?:[ ./{DASH}][0-9]{{2,4}}){{2,4}}){NOT_TAILED}",
        examples=("nummer: ‹0478 78 27 00›",),
        stays=("number: 0123456789", "order number: 0478 78 27 00"),
        unless=(f"{_DATE}$",),
        alone=True,
    ),
    Rule(  # a plus that stands off
        "PHONE",
        f"((?:^|[=:(>\"'] ?)[+] )({_CALLING_CODE}(?:[ .()/{DASH}]{{1,2}}[0-9]{{2,8}}){{2,5}}){NOT_TAILED}",
        examples=("to=+ ‹49 40 391615›",),
        stays=("x = a + 49 40 391615", "(+ 1 2 3)"),
        need="(?:[^0-9]*[0-9]){8}.*",
        alone=True,
    ),
    Rule(
        "PHONE",
        "((?:^|[^0-9+]))([1-9][0-9]{10,14})(@(?:c[.]us|s[.]whatsapp))",
        examples=("from: ‹919820447713›@c.us",),
    ),
    Rule(
        "PHONE",
        "((?:wa[.]me/|(?:tel|callto|sms|sips?):|api[.]whatsapp[.]com/send[?]phone=))"
        f"([+]?[0-9][0-9.{DASH}]{{5,17}}[0-9])()",
        examples=("https://wa.me/‹4917612345678›", "tel:‹+49-30-123456›", "sip:‹+493023125777›@pbx.local"),
    ),
    Rule(
        "PHONE",
        f"([Pp]hone[A-Za-z_]{{0,12}}[\"']?[ ]?: ?[{{][^{{}}]{{0,80}}?"
        f"[\"']number[\"'][ ]?: ?[\"']?)({_ANY}){NOT_TAILED}",
        examples=('{"phoneNumber": {"countryCode": "49", "number": "‹1701234567›"}}',),
        alone=True,
    ),
)
