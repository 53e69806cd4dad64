"""What defects are called: English names for the built-in sentences, and the words by which a label is recognised."""

from __future__ import annotations

import re

# Kind -> names for it, as they are put into sentences.
KINDS = {
    "scratch": ("a scratch", "a thin scratch line", "a scrape mark", "a long scratched line"),
    "crack": ("a crack", "a thin dark crack", "a fracture line", "a cracked area"),
    "dent": ("a dent", "a shallow dent", "a pressed-in spot", "a dented surface"),
    "stain": ("a stain", "a dark spot", "a discoloured patch", "a dirty smear"),
    "contamination": ("contamination", "a foreign particle", "a speck of dirt", "a foreign object"),
    "hole": ("a hole", "a small round hole", "a punched opening", "a deep pit"),
    "missing": ("a missing part", "a missing component", "an empty place", "a part that is not there"),
    "bent": ("a bent part", "a bent edge", "a deformed shape", "a crooked part"),
    "broken": ("a broken part", "a broken edge", "a chipped corner", "a broken-off piece"),
    "colour": ("a wrong colour", "a colour stain", "a discoloured area", "a patch of another colour"),
    "fold": ("a fold", "a crease", "a wrinkle", "a folded edge"),
    "thread": ("a loose thread", "a stray fibre", "a thin hair", "a pulled thread"),
    "cut": ("a cut", "a clean cut line", "a slit", "a cut edge"),
    "glue": ("a glue spot", "adhesive residue", "a shiny glue smear", "spilled glue"),
    "print": ("a faulty print", "a smeared print", "blurred letters", "an incomplete imprint"),
    "bubble": ("a bubble", "a trapped air bubble", "a blister", "a raised round spot"),
    "rust": ("a rust spot", "a corroded area", "brown corrosion", "an oxidised patch"),
    "burr": ("a burr", "a ragged edge", "excess material", "a rough metal edge"),
    "wear": ("a worn area", "a scuff mark", "a rubbed surface", "an abrasion mark"),
    "misplaced": ("a misplaced part", "a shifted part", "a part in the wrong place", "a misaligned part"),
    "overflow": ("an overflow", "melted excess", "squeezed-out material", "spilled liquid"),
}


# Names for a defect of which nothing more is known.
NEUTRAL = ("a defect", "a flaw", "an anomaly", "a damaged area")

# Labels that only say that something is wrong.
SAYS_NOTHING = frozenset(
    {
        *(
            "ng",
            "nok",
            "no good",
            "not good",
            "not ok",
            "bad",
            "defect",
            "defects",
            "defective",
            "defekt",
            "fehler",
        ),
        *(
            "anomaly",
            "anomalous",
            "abnormal",
            "anomalie",
            "fail",
            "failed",
            "fault",
            "faulty",
            "reject",
            "error",
        ),
        *(
            "damage",
            "damaged",
            "flaw",
            "mask",
            "label",
            "class",
            "object",
            "region",
            "other",
            "others",
            "unknown",
        ),
        *("defecto", "défaut", "difetto", "缺陷", "不良", "瑕疵", "欠陥", "불량"),
    }
)

# Kind -> beginnings of words that mean it: English, German, French, Spanish, Italian, Chinese, Japanese, Korean.
_STEMS = {
    "scratch": "scratch scrape kratzer zerkratz schramm rayur éraflur rasguñ arañaz graffi 划 刮 傷 キズ 擦り 긁힘",
    "crack": "crack fractur fissur riss risse haarriss grieta crepa 裂 クラック 균열",
    "dent": "dent dents dented delle dellen druckstelle bosse bossel abolla ammacc 凹 压痕 打痕 へこみ 찍힘",
    "stain": "stain spot smear smudge dirt dirty fleck schmutz tache mancha macchia 污 斑 汚れ 染み 얼룩",
    "contamination": "contamin foreign particle debris dust fremdk partikel staub poussi polvo 异物 杂质 異物 이물",
    "hole": "hole holes pit pits pinhole poke loch löcher trou agujero foro 孔 洞 穴 구멍",
    "missing": "missing absent incomplete fehlend fehlt manquant faltante mancante 缺失 漏装 缺件 欠品 누락",
    "bent": "bent bend deform squeez verbogen verform plié doblad piegat 弯 变形 曲がり 変形 휨",
    "broken": "broken breakage break chip chips chipped gebroch bruch cassé roto rotto 破 崩 断 欠け 割れ 깨짐 파손",
    "colour": "colour color discolo farbe farbfehler verfärb couleur decolor 色 변색",
    "fold": "fold wrinkl crease falte knick pli plis pliegue arruga piega 折 皱 シワ 折れ 주름",
    "thread": "thread fiber fibre hair hairs faden fäden faser fil fils hilo filo 线头 毛 纤维 糸 繊維 실",
    "cut": "cut cuts slit schnitt coupure corte taglio 切 割伤 切り 절단",
    "glue": "glue adhesiv kleb leim colle pegament colla 胶 接着剤 접착제",
    "print": "print misprint imprint druckfehler fehldruck impression 印 印刷 인쇄",
    "bubble": "bubble blister void voids blase bulle burbuja bolla 气泡 気泡 泡 기포",
    "rust": "rust rusty corro oxid rost rouille óxido ruggine 锈 錆 サビ 녹",
    "burr": "burr burrs flash grat grate gratig bavure rebaba bava 毛刺 飞边 バリ 버",
    "wear": "wear worn abras scuff rough rub verschlei abrieb usure desgaste usura 磨 摩耗 마모",
    "misplaced": "misplac misalign shift flip swap versetzt verschoben décal desplaz spostat 错位 偏 ずれ 틀어짐",
    "overflow": "overflow melt spill leak overfill überlauf fuite fuga 溢 漏 はみ出し",
}


def _pattern(stems: str) -> re.Pattern[str]:
    """Matches a label that has a word beginning with one of the stems.

    A short stem must be the whole word ("cut", not "cute"). A long one may stand inside a compound, and so may those
    of scripts that write no spaces.
    """
    parts = []
    for stem in stems.split():
        if stem[0] > "\u2fff" or len(stem) > 5:
            parts.append(stem)
        else:
            parts.append(rf"\b{stem}" if len(stem) == 5 else rf"\b{stem}\b")
    return re.compile("|".join(parts))


PATTERNS = {kind: _pattern(stems) for kind, stems in _STEMS.items()}
