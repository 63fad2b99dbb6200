"""Forty invented companies and the people in them, as the demo's main system would tell them."""

import unicodedata
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, Final

from store.errors import FormatWrong
from store.rules import endpoints


@dataclass(frozen=True)
class Firm:
    """An invented company. `size` is how many co-workers it has, `licences` how many it pays for."""

    id: str
    name: str
    currency: str
    zone: str
    language: str
    vat_rate: str
    size: int
    licences: int


_OSLO: Final = ("NOK", "Europe/Oslo", "nb", "25")
_STOCKHOLM: Final = ("SEK", "Europe/Stockholm", "sv", "25")
_COPENHAGEN: Final = ("DKK", "Europe/Copenhagen", "da", "25")
_HELSINKI: Final = ("EUR", "Europe/Helsinki", "fi", "25.5")
_REYKJAVIK: Final = ("ISK", "Atlantic/Reykjavik", "is", "24")
_TORSHAVN: Final = ("DKK", "Atlantic/Faroe", "fo", "25")
_BERLIN: Final = ("EUR", "Europe/Berlin", "de", "19")
_NEW_YORK: Final = ("EUR", "America/New_York", "en", "0")

# Name, place, co-workers, licences. The small ones with few licences pay for extra keys.
_FIRMS: Final = (
    ("Fjellbekk Regnskap AS", _OSLO, 140, 120),
    ("Åsgård & Sønner, Trelast AS", _OSLO, 85, 80),
    ("Nordlys Energi AS", _OSLO, 210, 190),
    ("Blåfjell Arkitekter AS", _OSLO, 24, 3),
    ("Skjærgård Havbruk AS", _OSLO, 66, 60),
    ("Trøndersk Elektro AS", _OSLO, 48, 45),
    ("Kvikk Bud & Transport AS", _OSLO, 95, 90),
    ("Sølvtråd Design AS", _OSLO, 9, 2),
    ("Ødegård Maskin AS", _OSLO, 37, 30),
    ("Vestlandsk Rørservice AS", _OSLO, 54, 50),
    ("Lysefjord Hotelldrift AS", _OSLO, 120, 110),
    ("Hålogaland Kraftlag SA", _OSLO, 76, 70),
    ("Isbjørn Kjøl & Frys AS", _OSLO, 18, 15),
    ("Björklund & Öberg Teknik AB", _STOCKHOLM, 130, 120),
    ('"Hörnan" Bageri & Kafé HB', _STOCKHOLM, 12, 4),
    ("Mälardalens Fastigheter AB", _STOCKHOLM, 88, 80),
    ("Sjögren Logistik AB", _STOCKHOLM, 150, 140),
    ("Åkerblom Konsult AB", _STOCKHOLM, 32, 30),
    ("Västerås Verkstad AB", _STOCKHOLM, 44, 40),
    ("Norrsken Data AB", _STOCKHOLM, 61, 60),
    ("Gränna Polkagris AB", _STOCKHOLM, 14, 12),
    ("Søndergård Rådgivning ApS", _COPENHAGEN, 40, 36),
    ("Østerbro Ingeniører A/S", _COPENHAGEN, 97, 90),
    ("Æbelø Færgefart A/S", _COPENHAGEN, 58, 50),
    ("Kjærgaard Møbler A/S", _COPENHAGEN, 73, 70),
    ("Limfjord Østers ApS", _COPENHAGEN, 11, 3),
    ("Skagen Sejl & Reb ApS", _COPENHAGEN, 16, 15),
    ("Järvinen Hääyö Oy", _HELSINKI, 52, 50),
    ("Pohjanmaan Kone Oy", _HELSINKI, 83, 80),
    ("Äyräpää Ohjelmistot Oy", _HELSINKI, 45, 40),
    ("Saimaan Laiva Oyj", _HELSINKI, 110, 100),
    ("Yrjölä & Pöyry Tilitoimisto Ky", _HELSINKI, 19, 15),
    ("Þórðarson Útgerð ehf.", _REYKJAVIK, 47, 40),
    ("Bláfjöll Hugbúnaður hf.", _REYKJAVIK, 39, 36),
    ("Jökulsá Orka hf.", _REYKJAVIK, 64, 60),
    ("Ægir Fiskvinnsla ehf.", _REYKJAVIK, 28, 25),
    ("Hámar & Sønir P/F", _TORSHAVN, 22, 20),
    ("Straßburger Großhandel GmbH", _BERLIN, 90, 85),
    ("Nordseewerk Küstenbau GmbH", _BERLIN, 71, 70),
    ("Leif's Landing Trading, Inc.", _NEW_YORK, 26, 24),
)

_NAMES: Final = {
    "nb": (
        "Åse Bjørn Sølvi Håkon Ingrid Lars Ragnhild Øystein Kari Magnus Synnøve Espen Tuva Sigurd Marte Odd",
        "Dahl Ødegård Nygård Sæther Håland Bø Kjærstad Strøm Løken Aasen Vik Fjeld Brække Rønning Moe Lie",
    ),
    "sv": (
        "Åsa Björn Göran Märta Elsa Östen Sven Linnéa Karin Örjan Ebba Nils",
        "Öberg Lindström Åkesson Sjöö Björklund Nyström Hägg Ekström Wåhlin Ås Norén",
    ),
    "da": (
        "Søren Mette Jørgen Kirsten Åge Lærke Niels Bodil Rasmus Signe",
        "Søndergård Kjær Møller Ægidius Bæk Østergaard Krøyer Juhl Brøgger",
    ),
    "fi": (
        "Väinö Päivi Yrjö Aino Jyrki Sinikka Eero Tyyne Onni Hämy",
        "Järvinen Hämäläinen Mäkelä Ylönen Pöysti Virtanen Räsänen Äijälä",
    ),
    "is": (
        "Þóra Guðrún Sigurður Björk Ævar Ólafur Hrafn Ásta Örn",
        "Þórðardóttir Jónsson Ægisson Björnsdóttir Sigurðardóttir Óðinsson",
    ),
    "fo": ("Jógvan Bjørk Rói Marjun Heini Sólrun", "á_Lað Øssursdóttir Joensen Højgaard Dam"),
    "de": (
        "Jürgen Änne Björn Käthe Günther Zoë Uwe Grete",
        "Weiß Großmann Müller Strauß Böhm Köster Jäger Süß",
    ),
    "en": ("Leif Astrid Conor Maeve Erik Sunniva", "O'Neill Lindqvist Murphy Erickson Smith-Dahl"),
}

_RIGHTS: Final = (
    "projects.read", "projects.write", "hours.read", "hours.write", "invoices.read", "customers.read",
    "customers.write", "employees.read",
)  # fmt: skip


FIRMS: Final = tuple(
    Firm(f"c-{1000 + number}", name, *place, size=size, licences=licences)
    for number, (name, place, size, licences) in enumerate(_FIRMS, 1)
)


def domain(firm: Firm) -> str:
    """A domain that belongs to nobody (RFC 2606)."""
    return f"{_plain(firm.name.split(',')[0].rsplit(' ', 1)[0])[:24]}.example"


def company_object(firm: Firm, **more: Any) -> dict[str, Any]:
    """A company as a file of the main system has it."""
    return {
        "id": firm.id,
        "name": firm.name,
        "currency": firm.currency,
        "time_zone": firm.zone,
        "language": firm.language,
        "billing_reference": f"PO-{firm.id[2:]}",
        "vat_rate": firm.vat_rate,
        "vat_category": "S" if firm.vat_rate != "0" else "O",
        **_billing_of(firm),
        **more,
    }


# Country, city and postal code of a time zone, the scheme of its endpoints, how its numbers end, its VAT numbers.
_PLACES: Final = {
    "Europe/Oslo": ("NO", "Oslo", "0155", "0192:{}", 9, "NO{}MVA"),
    "Europe/Stockholm": ("SE", "Stockholm", "111 22", "0007:{}", 10, "SE{}01"),
    "Europe/Copenhagen": ("DK", "København", "1050", "0184:DK{}", 8, "DK{}"),
    "Atlantic/Faroe": ("FO", "Tórshavn", "100", "", 6, ""),
    "Europe/Helsinki": ("FI", "Helsinki", "00100", "0216:0037{}", 8, "FI{}"),
    "Atlantic/Reykjavik": ("IS", "Reykjavík", "101", "0196:{}", 10, "IS{}"),
    "Europe/Berlin": ("DE", "Hamburg", "20095", "", 9, ""),
    "America/New_York": ("US", "New York", "10001", "", 9, ""),
}


def _billing_of(firm: Firm) -> dict[str, Any]:
    """Who an e-invoice to it is made out to, with an invented number whose check digit is right."""
    country, city, postal_code, scheme, digits, vat_id = _PLACES[firm.zone]
    number = _number(scheme, digits, int(firm.id[2:]))
    street = firm.name.replace('"', "").split()[0]
    return {
        "organisation_number": number,
        "vat_id": vat_id.format(number),
        "endpoint": scheme.format(number),
        "street": f"{street}gata {int(firm.id[2:]) % 40 + 1}",
        "city": city,
        "postal_code": postal_code,
        "country": country,
    }


def _number(scheme: str, digits: int, seed: int) -> str:
    """The first number of so many digits from the seed on that the scheme takes."""
    first = 9 * 10 ** (digits - 1) + seed * 1_000 % 10 ** (digits - 2)
    for number in map(str, range(first, first + 1_000)):
        try:
            if scheme:
                endpoints.check(scheme.format(number))
        except FormatWrong:
            continue
        return number
    return ""


SELLER: Final = {
    "name": "Fjord Software AS",
    "organisation_number": "987654325",
    "vat_id": "NO987654325MVA",
    "endpoint": "0192:987654325",
    "street": "Kaigata 1",
    "city": "Bergen",
    "postal_code": "5003",
    "country": "NO",
    "email": "invoice@fjord.example",
    "account": "NO9386011117947",
    "bank": "DNBANOKK",
    "payment_days": 14,
    "tax_registration": "Foretaksregisteret",
}
"""The demo's section [seller]."""


def user_objects(firm: Firm, random: Random) -> list[dict[str, Any]]:
    """The co-workers as a file of the main system has them; the first few are always active, licensed and reachable."""
    first_names, last_names = (names.split() for names in _NAMES[firm.language])
    return [
        _user(firm, number, f"{random.choice(first_names)} {random.choice(last_names).replace('_', ' ')}", random)
        for number in range(1, firm.size + 1)
    ]


def licence_objects(firm: Firm, first_day: date, raised_on: date, random: Random) -> list[dict[str, Any]]:
    """What is paid for: from the first day on, and for some more later."""
    told = [{"company": firm.id, "from": first_day.isoformat(), "licences": firm.licences}]
    if random.random() < 0.3:
        more = firm.licences + max(1, firm.licences // 10)
        told.append({"company": firm.id, "from": raised_on.isoformat(), "licences": more})
    return told


def _user(firm: Firm, number: int, name: str, random: Random) -> dict[str, Any]:
    surely = number <= 8
    active = surely or random.random() > 0.06
    licensed = active and (surely or random.random() < firm.licences / firm.size)
    reachable = surely or random.random() > 0.03
    return {
        "company": firm.id,
        "id": f"u-{number:04d}",
        "name": name,
        "email": f"{_plain(name, '.')}{number}@{domain(firm)}" if reachable else None,
        "active": active,
        "licensed": licensed,
        "rights": sorted(random.sample(_RIGHTS, random.randint(1, 4))) if licensed else [],
    }


def _plain(text: str, between: str = "") -> str:
    """Small ASCII letters: what stands before the @ must have no others."""
    for letter, written in _WRITTEN.items():
        text = text.replace(letter, written)
    folded = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    words = "".join(character if character.isalnum() else " " for character in folded).split()
    return between.join(words)


_WRITTEN: Final = {
    "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "ß": "ss", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "'": "",
}  # fmt: skip
