"""What can be true in the miniature world, and the many ways in which English says and asks it.

In statements ``{S}`` is the subject in any form (name, short form or pronoun), ``{P}`` its possessive, ``{X}`` the
subject by name or short form only, ``{O}`` the object, ``{A}`` the object with its article.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

EntityKind = Literal["town", "person", "company", "river", "book", "event"]
KINDS: tuple[EntityKind, ...] = ("town", "person", "company", "river", "book", "event")


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation between an entity and another, or a value.

    Attributes:
        name: Its name in the code.
        subject: Kind of its subject.
        object: Kind of an entity, or of values: `year`, `number`, `goods`, `job`, `pet`, `fish`, `region`, `lake`.
        statements: Ways to say it.
        questions: Ways to ask for the object, with ``{S}``.
        hint: A sentence that speaks of it without saying it.
        phrases: Noun phrases for the object by way of the subject, where the object is an entity.
        order: Comparison of two subjects by this year or number: (question, whether the smaller one is meant).
        same: Yes/no questions whether two subjects have the same object, with ``{A}`` and ``{B}``.
        pick: Questions which of two subjects has the object ``{O}``.
    """

    name: str
    subject: EntityKind
    object: str
    statements: Sequence[str]
    questions: Sequence[str]
    hint: str
    phrases: Sequence[str] = ()
    order: Sequence[tuple[str, bool]] = ()
    same: Sequence[str] = ()
    pick: Sequence[str] = ()


OTHER_NAMES: Sequence[str] = (
    "{S} is better known as {N}.",
    "Most people call {S} {N}.",
    "{N} is what everybody calls {S}.",
    "{N} is another name for {S}.",
    "Behind the name of {N} stands {S}.",
    "By birth {N} is {S}.",
)
"""Ways to tell that ``{S}``, by full name, is called ``{N}`` too."""

RELATIONS: Sequence[Relation] = (
    Relation(
        "mayor", "town", "person",
        ("The mayor of {X} is {O}.", "{P} mayor is {O}.", "{O} has been the mayor of {X} for some years.",
         "{S} elected {O} as its mayor.", "{O} leads the council of {X} as mayor.",
         "In the town hall of {X} sits {O}, the mayor."),
        ("Who is the mayor of {S}?", "Who leads the council of {S}?", "Which person is the mayor of {S}?"),
        "The mayor of {X} is well liked, but this text does not name the mayor.",
        phrases=("the mayor of {S}", "the person who leads the council of {S}"),
    ),
    Relation(
        "river", "town", "river",
        ("{S} lies on {O}.", "{O} runs through {X}.", "{P} bridges cross {O}.",
         "The banks of {O} are where {X} was built.",
         "Boats on {O} stop at {X}.", "{S} takes its water from {O}."),
        ("On which river does {S} lie?", "Which river runs through {S}?", "What is the name of the river at {S}?"),
        "A river passes {X}, though old maps do not agree on which.",
        phrases=("the river that runs through {S}", "the river at {S}"),
        same=("Do {A} and {B} lie on the same river?",),
    ),
    Relation(
        "product", "town", "goods",
        ("{S} is known for its {O}.", "{S} is famous for {O}.", "People come to {X} for its {O}.",
         "Good {O} comes from {X}.", "{P} {O} is sold far and wide.", "Nothing brings {X} more money than {O}."),
        ("What is {S} known for?", "For which product is {S} famous?", "What do people come to {S} for?"),
        "{S} is known for one product, which nobody here will tell.",
        same=("Are {A} and {B} known for the same product?",),
        pick=("Which town is known for {O}, {A} or {B}?",),
    ),
    Relation(
        "founded", "town", "year",
        ("{S} was founded in {O}.", "In {O} the first stone of {X} was laid.", "{P} history begins in {O}.",
         "The founding of {X} dates from {O}.", "It was in {O} that settlers founded {X}.",
         "{S} has stood here since {O}."),
        ("When was {S} founded?", "In which year was {S} founded?", "What is the founding year of {S}?"),
        "The founding year of {X} was lost in a fire.",
        order=(("Which town was founded first, {A} or {B}?", True), ("Which town is older, {A} or {B}?", True)),
    ),
    Relation(
        "region", "town", "region",
        ("{S} belongs to the region of {O}.", "The region of {O} includes {X}.", "{S} lies in {O}, a quiet region.",
         "Maps of {O} show {X} near the edge.", "{P} region is {O}.", "{O} is the region around {X}."),
        ("To which region does {S} belong?", "In which region does {S} lie?", "What is the region of {S}?"),
        "To which region {X} belongs has been argued for a long time.",
        same=("Are {A} and {B} in the same region?", "Do {A} and {B} belong to the same region?"),
        pick=("Which town belongs to {O}, {A} or {B}?",),
    ),
    Relation(
        "born", "person", "town",
        ("{S} was born in {O}.", "The birthplace of {X} is {O}.", "{O} is where {S} was born.", "{S} comes from {O}.",
         "It was in {O} that {S} first saw the light.", "{P} birth is recorded in {O}."),
        ("Where was {S} born?", "What is the birthplace of {S}?", "From which town does {S} come?"),
        "The birthplace of {X} is a matter of some doubt.",
        phrases=("the birthplace of {S}", "the town where {S} was born"),
        same=("Were {A} and {B} born in the same town?",),
    ),
    Relation(
        "job", "person", "job",
        ("{S} works as {A}.", "As {A}, {S} is well respected.", "{S} earns a living as {A}.", "By trade {S} is {A}.",
         "{P} trade is that of {A}.", "Everyone knows {X} as {A}."),
        ("What is the job of {S}?", "As what does {S} work?", "How does {S} earn a living?"),
        "{S} has a job, but never talks about it.",
        same=("Do {A} and {B} have the same job?",),
        pick=("Who works as {O}, {A} or {B}?",),
    ),
    Relation(
        "employer", "person", "company",
        ("{S} is employed by {O}.", "{S} has a post at {O}.", "The employer of {X} is {O}.", "{O} hired {X} long ago.",
         "At {O}, {S} is one of the staff.", "{P} wages are paid by {O}."),
        ("Who is the employer of {S}?", "By which company is {S} employed?", "Which company hired {S}?"),
        "{S} is employed by a company that prefers not to be named.",
        phrases=("the employer of {S}", "the company that hired {S}"),
        same=("Do {A} and {B} have the same employer?",),
    ),
    Relation(
        "pet", "person", "pet",
        ("{S} keeps {A}.", "{P} pet is {A}.", "The pet of {X} is {A}.", "{S} owns {A} and takes good care of it.",
         "{A} follows {X} everywhere.", "At home {S} has {A}."),
        ("Which pet does {S} keep?", "What is the pet of {S}?", "Which animal does {S} own?"),
        "{S} keeps an animal, but nobody has seen it.",
        same=("Do {A} and {B} keep the same kind of pet?",),
        pick=("Who keeps {O}, {A} or {B}?",),
    ),
    Relation(
        "teacher", "person", "person",
        ("{S} was taught by {O}.", "{O} was the teacher of {X}.", "{P} teacher was {O}.",
         "{S} learned everything from {O}.",
         "The lessons of {O} shaped {X}.", "As a child {S} went to the school of {O}."),
        ("Who was the teacher of {S}?", "Who taught {S}?", "From whom did {S} learn everything?"),
        "The teacher of {X} left no name behind.",
        phrases=("the teacher of {S}", "the person who taught {S}"),
    ),
    Relation(
        "seat", "company", "town",
        ("{S} is based in {O}.", "The head office of {X} is in {O}.", "{P} offices stand in {O}.",
         "{O} is home to {X}.",
         "From {O}, {S} serves its customers.", "{S} has its seat in {O}."),
        ("Where is {S} based?", "Where is the head office of {S}?", "In which town does {S} have its seat?"),
        "{S} has a head office, yet the address is kept secret.",
        phrases=("the town where {S} is based", "the seat of {S}"),
        same=("Are {A} and {B} based in the same town?",),
    ),
    Relation(
        "director", "company", "person",
        ("The director of {X} is {O}.", "{S} is run by {O}.", "{P} director is {O}.", "{O} is the director of {X}.",
         "{O} took charge of {X} as director.", "Under {O}, {S} has grown."),
        ("Who is the director of {S}?", "Who runs {S}?", "Which person is in charge of {S}?"),
        "{S} has a new director, whose name was not given.",
        phrases=("the director of {S}", "the person who runs {S}"),
    ),
    Relation(
        "sells", "company", "goods",
        ("{S} sells {O}.", "The main product of {X} is {O}.", "{P} shops are full of {O}.", "{S} trades in {O}.",
         "Much of the {O} in the shops comes from {X}.", "With {O}, {S} made its fortune."),
        ("What does {S} sell?", "What is the main product of {S}?", "In what does {S} trade?"),
        "What {X} sells is hard to say.",
        same=("Do {A} and {B} sell the same product?",),
        pick=("Which company sells {O}, {A} or {B}?",),
    ),
    Relation(
        "opened", "company", "year",
        ("{S} opened in {O}.", "The opening year of {X} is {O}.", "In {O}, {S} opened its doors.",
         "{S} has been in business since {O}.", "{P} first shop opened in {O}.", "It was {O} when {S} began to trade."),
        ("When did {S} open?", "What is the opening year of {S}?", "Since which year has {S} been in business?"),
        "{S} opened many years ago.",
        order=(("Which company opened first, {A} or {B}?", True), ("Which company opened later, {A} or {B}?", False)),
    ),
    Relation(
        "mouth", "river", "lake",
        ("{S} flows into {O}.", "{O} takes the water of {X}.", "{P} mouth is at {O}.", "At last {S} reaches {O}.",
         "The mouth of {X} is found at {O}.", "{S} ends in {O}."),
        ("Into which lake does {S} flow?", "Where is the mouth of {S}?", "Which lake takes the water of {S}?"),
        "Few have followed {X} to its mouth.",
        same=("Do {A} and {B} flow into the same lake?",),
    ),
    Relation(
        "length", "river", "number",
        ("{S} is {O} miles long.", "{P} length is {O} miles.", "From source to mouth {X} measures {O} miles.",
         "For {O} miles {S} winds through the land.", "The length of {X} is given as {O} miles.",
         "It takes {O} miles before {X} ends."),
        ("How long is {S}?", "What is the length of {S}?", "How many miles long is {S}?"),
        "Nobody has measured {X} yet.",
        order=(("Which is longer, {A} or {B}?", False), ("Which is shorter, {A} or {B}?", True)),
    ),
    Relation(
        "source", "river", "region",
        ("{S} rises in {O}.", "The source of {X} is in {O}.", "{P} springs lie in {O}.", "{O} is where {S} begins.",
         "The hills of {O} feed {X}.", "Its first miles take {X} through {O}."),
        ("Where does {S} rise?", "In which region is the source of {S}?", "In which region does {S} begin?"),
        "Several regions claim the source of {X}.",
        same=("Do {A} and {B} rise in the same region?",),
    ),
    Relation(
        "fish", "river", "fish",
        ("{S} is full of {O}.", "Anglers catch {O} in {X}.", "{P} fish is the {O}.", "The {O} is common in {X}.",
         "Whoever fishes in {X} hopes for {O}.", "In spring {S} teems with {O}."),
        ("Which fish is caught in {S}?", "What do anglers catch in {S}?", "Which fish is common in {S}?"),
        "Anglers are fond of {X}, but do not say what they catch.",
        same=("Is the same fish caught in {A} and {B}?",),
        pick=("Which river is full of {O}, {A} or {B}?",),
    ),
    Relation(
        "author", "book", "person",
        ("{S} was written by {O}.", "{O} wrote {X}.", "The author of {X} is {O}.", "{P} author is {O}.",
         "{O} is remembered for {X}.", "The pages of {X} come from the pen of {O}."),
        ("Who wrote {S}?", "Who is the author of {S}?", "From whose pen does {S} come?"),
        "Who wrote {X} is not known.",
        phrases=("the author of {S}", "the person who wrote {S}"),
        same=("Do {A} and {B} have the same author?",),
    ),
    Relation(
        "published", "book", "year",
        ("{S} was published in {O}.", "{S} came out in {O}.", "The first printing of {X} dates from {O}.",
         "In {O} readers first saw {X}.", "{P} year of publication is {O}.", "It was {O} when {S} appeared."),
        ("When was {S} published?", "In which year did {S} come out?", "When did {S} appear?"),
        "The first printing of {X} bears no year.",
        order=(("Which was published first, {A} or {B}?", True), ("Which was published later, {A} or {B}?", False)),
    ),
    Relation(
        "hero", "book", "pet",
        ("{S} tells the story of {A}.", "The hero of {X} is {A}.", "{A} is at the heart of {X}.", "{P} hero is {A}.",
         "{S} is about {A}.", "Children love {X} because of {A}."),
        ("Which animal is {S} about?", "Which animal is the hero of {S}?", "Of which animal does {S} tell?"),
        "{S} has an animal for a hero, but the cover does not show it.",
        same=("Are {A} and {B} about the same animal?",),
        pick=("Which book is about {O}, {A} or {B}?",),
    ),
    Relation(
        "kept", "book", "town",
        ("The manuscript of {X} is kept in {O}.", "{O} keeps the manuscript of {X}.", "{P} manuscript lies in {O}.",
         "Whoever wants to see {X} in its first form must go to {O}.", "{O} is proud to own {X}.",
         "A library in {O} holds {X}."),
        ("Where is the manuscript of {S} kept?", "Which town keeps the manuscript of {S}?", "Which town owns {S}?"),
        "The manuscript of {X} was moved, nobody says where.",
        phrases=("the town that keeps the manuscript of {S}", "the town that owns {S}"),
    ),
    Relation(
        "place", "event", "town",
        ("{S} took place in {O}.", "{O} was the scene of {X}.", "{S} was held in {O}.",
         "It was in {O} that {S} was held.",
         "The people of {O} remember {X}.", "The streets of {O} were filled by {X}."),
        ("Where did {S} take place?", "Which town was the scene of {S}?", "In which town was {S} held?"),
        "{S} took place somewhere in the north.",
        phrases=("the town where {S} took place", "the scene of {S}"),
        same=("Did {A} and {B} take place in the same town?",),
    ),
    Relation(
        "date", "event", "year",
        ("The year of {X} was {O}.", "{S} happened in {O}.", "In {O} came {X}.", "{S} dates from {O}.",
         "{P} year was {O}.", "Those who were there in {O} still speak of {X}."),
        ("In which year was {S}?", "When did {S} happen?", "What was the year of {S}?"),
        "The year of {X} is missing from the records.",
        order=(("Which happened first, {A} or {B}?", True), ("Which happened later, {A} or {B}?", False)),
    ),
    Relation(
        "winner", "event", "person",
        ("{O} won the prize at {X}.", "The winner of {X} was {O}.", "{P} winner was {O}.", "{S} was won by {O}.",
         "At {X} the crown went to {O}.", "{S} ended with a victory for {O}."),
        ("Who won the prize at {S}?", "Who was the winner of {S}?", "To whom did the crown go at {S}?"),
        "Who won at {X} was never written down.",
        phrases=("the winner of {S}", "the person who won at {S}"),
    ),
)  # fmt: skip

_PLAIN_ENDS = ("{O}.", "{A}.", "{O} miles.", "{O} miles long.")
PLAIN: Mapping[str, Sequence[str]] = {
    relation.name: [text for text in relation.statements if text.endswith(_PLAIN_ENDS)] for relation in RELATIONS
}
"""Statements that end with the object: whoever reads one knows by then whose it is and what."""

_OBJECT_FIRST = re.compile(r"[^{]*\{[OA]\}")
BACKWARD: Mapping[str, Sequence[str]] = {
    relation.name: [text for text in relation.statements if _OBJECT_FIRST.match(text)] for relation in RELATIONS
}
"""Statements that name the object before the subject: where it is read, nobody can know yet whose it is."""

BY_SUBJECT: Mapping[str, Sequence[Relation]] = {
    kind: [relation for relation in RELATIONS if relation.subject == kind] for kind in KINDS
}
