"""The words that `rules.py` goes by.

Lives here: closed lists, each with what a word in it proves. To improve extraction, add a word and a line to the tests.
Must stay out: patterns and decisions. Changing a list changes what is found in texts that are saved again.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _names(text: str) -> frozenset[str]:
    return frozenset(" ".join(name.split()) for name in text.split(","))


# Before a name, these make it a person's. They stay part of the name: Lord Sandwich is not Lady Sandwich.
TITLES = words(
    """
    Mr Mrs Ms Miss Mx Dr Doctor Prof Professor Sir Dame Lord Lady Madam Madame Monsieur Captain Capt Colonel Col General Gen Major
    Lieutenant Lieut Lt Sergeant Sgt Admiral Commissioner Alderman Sheriff Judge Justice President Senator Governor Chancellor King
    Queen Prince Princess Duke Duchess Earl Count Countess Baron Baroness Bishop Archbishop Cardinal Pope Rev Reverend Father
    Brother Sister Aunt Uncle Cousin Herr Frau Señor Señora Don Doña
    """
)

# Before a name, these make it a person's without being part of it: "my cousin Roger".
KIN = words(
    """
    wife husband father mother brother sister son daughter aunt uncle cousin nephew niece friend colleague boss manager neighbour
    neighbor partner girlfriend boyfriend fiancé fiancée landlord teacher doctor servant maid
    """
)

# After a name, these make it a person's; nothing else works, prefers or says.
PERSON_VERBS = words(
    """
    works worked lives lived likes liked loves loved hates prefers preferred says said tells told asks asked thinks thought knows
    knew wants wanted met meets married moved moves joined visited studies studied teaches taught speaks spoke wrote writes believes
    agreed replied answered plays enjoys owns uses called calls came went dined supped
    """
)

# A name that ends (or, for the second, begins) with one of these is a place.
PLACE_ENDS = words(
    """
    Street St Yard House Bridge Hall Church Park River City Square Lane Road Avenue Court Palace Castle Island Islands Lake Mountain
    Mountains Bay Valley Gate Fields Field Hill Hills Tower Market Abbey Cathedral Chapel Dock Docks Harbour Harbor Airport Station
    County Garden Gardens Forest Beach Alley Row Inn Tavern Stairs Wharf Exchange Platz Straße Strasse Allee Village Town
    """
)
PLACE_STARTS = words("River Mount Mt Lake Port Fort Cape Isle Rue Saint St New")

# A name that ends (or begins) with one of these is an organisation.
ORGANISATION_ENDS = words(
    """
    Inc Ltd Limited LLC LLP PLC GmbH AG SE KG SA SAS BV NV Corp Corporation Company Co Group Holdings Partners University College
    School Academy Institute Council Committee Commission Office Bank Ministry Department Agency Authority Association Society
    Foundation Trust Union League Party Parliament Senate Congress Army Navy Hospital Museum Library Laboratory Laboratories Labs
    Club Team Press Airlines Universität Gesellschaft Verein Stiftung e.V
    """
)
ORGANISATION_STARTS = words("University Bank Ministry Department Institute Council Office Board Bureau College Academy Society Church")
ORGANISATIONS = frozenset({"House of Commons", "House of Lords", "Parliament", "Royal Society", "European Union", "United Nations", "NATO"})

# Names that are places wherever they stand alone.
PLACES = _names(
    """
    Africa, Amsterdam, Antwerp, Argentina, Asia, Athens, Australia, Austria, Barcelona, Bavaria, Beijing, Belgium, Berlin, Berne,
    Bombay, Boston, Brazil, Bristol, Britain, Brussels, Budapest, Cairo, California, Cambridge, Canada, Chicago, Chile, China,
    Cologne, Copenhagen, Delhi, Denmark, Dublin, Edinburgh, Egypt, England, Europe, Finland, Florence, Florida, France, Frankfurt,
    Geneva, Genoa, Germany, Glasgow, Greece, Greenwich, Hamburg, Holland, Hong Kong, Houston, Hungary, India, Indonesia, Ireland,
    Istanbul, Italy, Jakarta, Japan, Jerusalem, Kenya, Kiev, Kyiv, Leipzig, Lisbon, Liverpool, London, Los Angeles, Lyon, Madrid,
    Manchester, Melbourne, Mexico, Miami, Milan, Montreal, Moscow, Mumbai, Munich, Naples, Netherlands, New York, New Zealand,
    Nigeria, Norway, Oslo, Oxford, Paris, Philadelphia, Poland, Portsmouth, Portugal, Prague, Rome, Rotterdam, Russia,
    San Francisco, Scotland, Seattle, Seoul, Shanghai, Singapore, Spain, Stockholm, Stuttgart, Sweden, Switzerland, Sydney, Syria,
    Taiwan, Tangier, Texas, The Hague, Tokyo, Toronto, Turkey, UK, USA, Ukraine, United Kingdom, United States, Vancouver, Venice,
    Vienna, Wales, Warsaw, Washington, Westminster, Whitehall, Woolwich, Zurich, Zürich, München, Köln, Wien, Deptford
    """
)

FIRST_NAMES = words(
    """
    Aaron Abigail Adam Ahmed Alan Alba Albert Alex Alexander Alexandra Alice Amanda Amy Ana Andrea Andreas Andrew Angela Anita Ann
    Anna Anne Anthony Anton Antonio Arthur Ben Benjamin Bernd Beth Betty Bob Brian Bruno Camille Carl Carla Carlos Carmen Carol
    Caroline Catherine Charles Charlotte Chloe Chris Christian Christina Christine Christopher Claire Clara Claudia Daniel Daniela
    David Deborah Denise Dennis Diana Diego Dmitri Dominic Dorothy Edward Elena Elizabeth Ella Emily Emma Eric Erik Eva Fatima Felix
    Fiona Florian Francesca Francis Frank Frederick Gabriel George Giovanni Grace Gregory Hannah Harold Harry Heather Heinrich Helen
    Helena Henry Hugo Ian Igor Ines Ingrid Isabel Isabella Ivan Jack Jacob James Jan Jane Jason Javier Jean Jennifer Jenny Jessica
    Jim Joan Joanna Joe Johann Johannes John Jonas Jonathan Jorge Jose José Joseph Joshua Juan Judith Julia Julian Julie Karen Karin
    Karl Kate Katherine Kevin Klaus Laura Lauren Lea Leon Leonard Li Linda Lisa Louis Louise Lucas Lucia Lucy Luis Lukas Luke
    Magdalena Manuel Marc Marco Marcus Margaret Maria Marie Mario Martha Martin Mary Matthew Max Maya Mei Melissa Michael Michelle
    Miguel Mike Mohamed Mohammed Monica Nadia Nancy Natalie Nathan Nicholas Nicole Nina Noah Nora Oliver Olivia Omar Oscar Pablo
    Patricia Patrick Paul Paula Pedro Peter Philip Priya Rachel Ralph Ravi Rebecca Richard Rita Robert Roger Rosa Ruth Samuel Sandra
    Sara Sarah Sebastian Sergei Simon Sofia Sophia Sophie Stefan Stephanie Stephen Steve Steven Susan Sven Theo Theresa Thomas Tim
    Timothy Tom Tomas Tony Ursula Valentina Vera Victor Victoria Vincent Virginia Walter Wendy William Wolfgang Yuki Yusuf Zoe
    """
)

MONTHS = (
    "January February March April May June July August September October November December"
    " Januar Februar März Mai Juni Juli Oktober Dezember"
)
MONTHS_SHORT = "Jan Feb Mar Apr Jun Jul Aug Sept Sep Oct Nov Dec"

# Capitalised, and nothing by themselves: pronouns, words that begin sentences, days, months, languages' and peoples' names.
NOT_NAMES = (
    words(
        """
    I I'm I've I'll I'd A An The This That These Those There Here He She It We You They Me Him Her Us Them His Its Our Your Their My
    Mine And But Or Nor So Yet For If Then Than Thence Thither Hence Whence Because Although Though While When Where Why What Which
    Who Whose Whom How As At By In On Of To From With Without Within Into Onto Upon Up Down Over Under After Before Since Until Till
    About Above Below Between Among Through During Against Is Are Was Were Be Been Being Am Do Does Did Done Have Has Had Having Can
    Could Will Would Shall Should May Might Must Not No Yes Only Also Just Even Ever Never Always Often Sometimes Once Twice Again
    Still Soon Now Today Tomorrow Yesterday Tonight All Any Both Each Every Few Many More Most Much Several Some Such Other Another
    One Two Three Four Five Six Seven Eight Nine Ten First Second Third Last Next Please Thanks Thank Hello Hi Dear Sorry Ok Okay
    Well Oh Ah Let Lets Home Up Lay Rose Dined Called Went Came Met Walked Took Thus Therefore However Meanwhile Perhaps Maybe
    Indeed Great Good New Old User Users Assistant System Note Notes Remember Remind TODO FYI God Lord's Lords Day Sunday Monday
    Tuesday Wednesday Thursday Friday Saturday Mon Tue Tues Wed Thu Thurs Fri Sat Sun English French German Dutch Spanish Italian
    Portuguese Scottish Scotch Scots Irish Welsh Russian Chinese Japanese Latin Greek Turkish American British European Christmas
    Easter Michaelmas State Majesty Grace Highness Lordship Excellency Esq Jr Sr AM PM OK Der Die Das Ein Eine Im Am Ich Wir Er Sie
    Es Und Aber Firma
    """
    )
    | words(MONTHS)
    | words(MONTHS_SHORT)
)

# These of the words above may be part of a longer name: New York, German Bank, Grace Hopper.
MAY_JOIN = words(
    """
    New Old Great State Day Grace May June April English French German Dutch Spanish Italian Portuguese Scottish Irish Welsh Russian
    Chinese Japanese Latin Greek Turkish American British European First Second Third One
    """
)

# Titles that also begin names of places and organisations: King Street, General Hospital.
WEAK_TITLES = words(
    """
    King Queen Prince Princess Duke Earl Count Baron Bishop Cardinal Pope President Senator Governor Chancellor Justice Judge
    General Major Commissioner Father Brother Sister Lord Lady Captain
    """
)

# Ends of places that are surnames too: John Park.
SURNAME_ENDS = words("Park Hill Hall Church House Lane Lake Field Fields Rivers Street Forest Gardens Bridge Gate Tower Castle Bay")

# "X of Y" is one name only behind these.
BEFORE_OF = ORGANISATION_STARTS | words(
    """
    Duke Duchess Earl King Queen Prince Princess Count Countess Bishop Archbishop Lord Lady Baron Baroness President Sheriff
    Governor House Tower City Isle Cape Gulf Bay Republic Kingdom State States Treasurer Company Bridge
    """
)

# Before a name: these lead to a place; these do so behind a word of movement; and behind these "in" leads to a subject.
PLACE_CUES = words("in at near into towards toward around outside inside")
MOVEMENT_CUES = words("to from through via for")
MOVEMENT = words(
    """
    went go goes going gone come comes came coming move moves moved moving travel travels travelled traveled walk walks walked ride
    rode fly flew flies flying sail sailed drive drove return returns returned back home journey trip coach water road train flight
    way
    """
)
NOT_A_PLACE_AFTER = words(
    """
    written writes write built coded code codes programs programming implemented fluent interested experience expert believe
    believes invest invested majored degree trust trusts skilled proficient interest
    """
)

# Before "at" or "for", these lead to an employer.
WORK = words("work works working worked job employed employee intern position engineer")

# Two different ones of these mark a text in a language that capitalises every noun; capitals prove little there.
GERMAN = words("und der das nicht ist ein eine einen ich wir für auf dem des im von zu wurde sich mit auch")
