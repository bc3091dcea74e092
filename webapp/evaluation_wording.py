"""Every text of the page Evaluation: constants in English, for `tr`, and functions in the visitor's language.

Markdown where a text is shown as such; what stands in for {a field} of a constant is put in by `str.format`.
"""

from __future__ import annotations

from geo_model.paired_comparison import SIGNIFICANT, PairedComparison
from webapp.language import figures, tr
from webapp.wording import count, distance

PAGE = "Evaluation"
TITLE = "How far off are the answers?"
INTRODUCTION = (
    "Predictions beside where the photos were really taken: how often they are near, how far off they are, "
    "where on Earth, and whether one method is better than another by more than chance."
)
CONVENTIONS = (
    "Distances are great circles by the haversine formula on a sphere of 6,371 km radius; a photo at exactly "
    "a distance counts as within it. Small figures are 95% Wilson intervals. "
    "GeoScore is the mean of 5000 exp(-distance / 1492.7 km)."
)

SETS = "Predictions"
BUNDLED_NAME = "ISN(M, f*, S3), published"
BUNDLED_NOTE = (
    "Im2GPS: what the authors of the paper (Müller-Budack, Pustu-Iren, Ewerth, ECCV 2018) published as the "
    "answers of their method ISN(M, f*, S3). The predictions are theirs, not those of the model loaded here."
)
UPLOADED_NOTE = "From a table that you added."
RUN_NOTE = "From a run in this app."
REMOVE = "Remove"
ADD_TABLE = "Add a table of predictions"
ADD_TABLE_HELP = (
    "A CSV with the columns img_id, gt_lat, gt_long, predicted_lat and predicted_long in degrees, and, if "
    "you have them, url, author, license_name and license_url; or the table that `geo_model evaluate --out` "
    "writes. It stays in this app's memory."
)
ROWS_LEFT_OUT = "{rows} of {name} left out; the others are shown:"
WITHOUT_ANSWER = "{photos} of {name} have no answer, as the table says:"
REMARKS = "In {name}:"
DOWNLOAD = "Download"
DOWNLOAD_HELP = "As a CSV of the same format"

ACCURACY = "Accuracy"
PERCENT_WITHIN = "% of photos within"
COLUMN_PHOTOS = "Photos"
COLUMN_MEDIAN = "Median"
COLUMN_MEAN = "Mean"
COLUMN_SCORE = "GeoScore"
PUBLISHED_OF = "Published figures for"
PUBLISHED_ROWS = "Published for {name}, {photos} photos"
PUBLISHED_CAPTION = (
    "Published figures are as their authors print them; their intervals are computed here. Methods differ in "
    "training data and network, and figures compare only on the same photos."
)

CURVES = "Share of photos by error"
AXIS_ERROR = "Error in km (logarithmic)"
AXIS_SHARE = "Photos with at most this error, %"
CURVES_ALT = "Cumulative curve of errors for each set of predictions"
SERIES = "Predictions"
CONTINENTS = "Error by continent"
AXIS_MEDIAN = "Median error in km (logarithmic)"
AXIS_CONTINENT = "Continent"
CONTINENTS_ALT = "Median error by continent for each set of predictions"
CONTINENTS_CAPTION = "The continent is that of the populated place nearest to where a photo was taken."
AS_TABLE = "As a table"
COLUMN_SET = "Predictions"

CASES = "Photo by photo"
CASES_OF = "Predictions on show"
ERROR_RANGE = "Error"
COUNTRIES = "Countries"
COUNTRIES_HELP = "The country of the populated place nearest to where a photo was taken."
LICENCES = "Licences"
ANY = "Any"
NO_LICENCE = "not known"
VIEW = "View"
ORDER = "Order"
WORST_FIRST, BEST_FIRST = "Worst first", "Best first"
NOTHING_LEFT = "No photo fits these choices; widen them."
GLOBE_ALT = (
    "The Earth with a line from where each photo was taken to where it was predicted, coloured by error"
)
GLOBE_TOOLTIP = "<b>{error}</b><br>Taken: {taken}<br>Predicted: {predicted}"
LEGEND_TITLE = "Error in km; the dot is where the photo was taken, the line leads to the prediction"
LEGEND_TRUTH = "Where it was taken"
LEGEND_PREDICTION = "Prediction"
CLICK_HINT = ":material/ads_click: Click a line, a dot or a row of the table to open the photo's card."
COLUMN_ERROR = "Error, km"
COLUMN_TAKEN = "Taken"
COLUMN_PREDICTED = "Predicted"
COLUMN_LICENCE = "Licence"
COLUMN_PHOTO = "Photo"
CARD_TAKEN = "Taken"
CARD_PREDICTED = "Predicted"
CARD_OFF = "{distance} off"
CARD_SCORE = "GeoScore {score} of 5,000"
CARD_NO_CREDIT = "The table does not say where this photo can be seen or whose it is."
CARD_BY = "Photo by {author}, {licence}"
CARD_UNKNOWN_AUTHOR = "an unnamed photographer"
CARD_NO_LICENCE = "licence not known"
CARD_OPEN = "Open the photo at {host}"
CARD_LICENCE_LINK = "The licence"
CARD_ALLOW = "Load photos from {host}"
CARD_ALLOW_HELP = (
    "Off, nothing is asked of {host}. On, your browser fetches the photo of each card that lies there, so "
    "{host} learns your network address and which photo you look at. This app's server fetches nothing."
)
CARD_PHOTO_ALT = "The photo"
CARD_CLOSE = "Close"

RUN = "Run the model over photos"
RUN_INTRODUCTION = (
    "The model that this app has loaded locates photos whose place is known, and its answers become another "
    "set beside the others. Give the photos as a zip or tar, each named by its img_id."
)
RUN_ARCHIVE = "Photos in a zip or tar"
RUN_ARCHIVE_HELP = (
    "Nothing is unpacked to a disk. Entries that are no photos, archives in the archive, links, and names "
    "that lead out of it are refused by name."
)
RUN_FOLDER = "Or a folder, zip or tar on this computer"
RUN_FOLDER_HELP = "Offered because this app serves this computer only."
RUN_READ = "Read"
RUN_REFUSED = "{entries} of {name} refused:"
RUN_TRUTH = "Where the photos were taken, from"
RUN_TRUTH_TABLE = "Or from a truth table"
RUN_TRUTH_TABLE_HELP = "A CSV with the columns IMG_ID, LAT and LON in degrees."
RUN_TRUTH_ITSELF = "the JSON beside the photos"
RUN_START = "Locate {photos}"
RUN_CANCEL = "Cancel"
RUN_GO_ON = "Go on"
RUN_STOPPING = "Stopping; the photo at hand is finished first …"
RUN_PAUSED = "{done} of {photos} located; the rest waits."
RUN_DONE = "{done} of {photos} located."
RUN_UNREADABLE = "{photos} could not be read:"
RUN_UNREADABLE_OF = "{photos} of {name} could not be read:"
RUN_REPEATED = "{photos} left out, because another photo has the truth of the same file name:"
RUN_NO_MATCH = "None of the photos has a known place: no img_id of a table agrees with a file name."
RUN_NAME = "{model} on {photos}"
RUN_SHOWN = "The figures on this page take in what is done so far whenever you change something."

ANSWER_NAMES = {"coarse": "coarse cells", "middle": "middle cells", "fine": "fine cells"}
ANSWER_HIERARCHY = "the answer, along the hierarchy"
ANSWER_GALLERY = "the answer, from the gallery"
DETAILS = "How sure the model was: {name}"
COVERAGE = "**Credible regions**: a region of a calibrated model holds the truth as often as its name says."
OUTSIDE_CELLS = (
    "{outside} of {photos} were taken where this model has no cell. No region can hold such a place, so they "
    "count as not held."
)
COLUMN_REGION = "Region"
COLUMN_HOLDS = "Holds the truth"
COLUMN_AREA = "Median area"
RELIABILITY = "**Reliability**: how often the most probable cell was right, by the probability it was given."
RELIABILITY_LEVEL = "Cells"
RELIABILITY_LEVELS = {"hierarchy": "Combined", "coarse": "Coarse", "middle": "Middle", "fine": "Fine"}
AXIS_STATED = "Stated probability, %"
AXIS_RIGHT = "Cell was right, %"
RELIABILITY_ALT = "Reliability diagram: share of right cells by stated probability, with 95% intervals"
CALIBRATION_ERROR = (
    "Expected calibration error {error} over {photos}. The dashed line is perfect calibration, the bars "
    "are 95% Wilson intervals, the size of a point is its number of photos."
)

COMPARISON = "One against another"
COMPARISON_CAPTION = "On the same photos, which sets of predictions share by img_id."
COMPARE_FIRST = "First"
COMPARE_SECOND = "Second"
COMPARE_NOTHING = "These two have no photo in common."
COMPARE_SAME = "Choose two different sets."
COLUMN_WITHIN = "Within"
COLUMN_BOTH = "Both"
COLUMN_ONLY_FIRST = "Only first"
COLUMN_ONLY_SECOND = "Only second"
COLUMN_NEITHER = "Neither"
COLUMN_CHANCE = "p"
COMPARISON_METHODS = (
    "Better or worse: two-sided sign test. Each distance: McNemar's exact test, p after Holm's correction "
    "for five distances."
)
ALL_SHARES = "all"
NO_MODEL = "Without a model there is nothing to run."


def set_note(photos: int, note: str) -> str:
    """What a set of predictions is."""
    return f"{count(photos, 'photo')}. {note}"


def error_range(km: float) -> str:
    """An end of the range of errors."""
    return figures(f"{km:,.0f} km")


def error_class(low_km: float, high_km: float, number: int) -> str:
    """One colour of the globe's legend."""
    low, high = (figures(f"{km:,.0f}") for km in (low_km, high_km))
    if low_km == 0:
        text = tr("up to {high}", high=high)
    elif high_km == float("inf"):
        text = tr("more than {low}", low=low)
    else:
        text = f"{low} – {high}"
    return f"{text} ({figures(f'{number:,}')})"


def photos_on_show(shown: int, total: int, drawn: int) -> str:
    """How many photos fit the choices, and how many of them the globe draws."""
    numbers = {"shown": figures(f"{shown:,}"), "photos": count(total, "photo")}
    if drawn == shown:
        return tr("{shown} of {photos}.", **numbers)
    return tr(
        "{shown} of {photos}; the globe draws {drawn} of them, evenly spread over the errors.",
        drawn=figures(f"{drawn:,}"),
        **numbers,
    )


def photos_with_truth(photos: int, known: int, name: str) -> str:
    """What an archive holds."""
    return tr(
        "{photos} in {name}, {known} of them with a known place.",
        photos=count(photos, "photo"),
        name=name,
        known=figures(f"{known:,}"),
    )


def run_progress(done: int, total: int, seconds_left: float | None) -> str:
    """How far a run is."""
    text = tr("{done} of {photos} located", done=figures(f"{done:,}"), photos=count(total, "photo"))
    if seconds_left is None:
        return f"{text} …"
    if seconds_left < 90:
        return f"{text}, {tr('about {seconds} s left', seconds=max(1, round(seconds_left)))}"
    return f"{text}, {tr('about {minutes} min left', minutes=round(seconds_left / 60))}"


def p_value(p: float) -> str:
    """A p-value to read."""
    return figures("< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}")


def comparison_verdict(comparison: PairedComparison, first: str, second: str) -> str:
    """Which of two is nearer more often, and whether that is more than chance; names are put in as given."""
    better, worse = comparison.better, comparison.worse
    counted = tr(
        "On {photos} {second} is nearer than {first} on **{better}**, farther on **{worse}** and equally far "
        "on {equal}",
        photos=count(comparison.photos, "photo"),
        first=first,
        second=second,
        better=figures(f"{better:,}"),
        worse=figures(f"{worse:,}"),
        equal=figures(f"{comparison.equal:,}"),
    )
    if comparison.p_value < SIGNIFICANT:
        verdict = tr("{winner} is better by more than chance", winner=second if better > worse else first)
    else:
        verdict = tr("this may well be chance")
    return f"{counted}: {verdict} (p {_relation(comparison.p_value)})."


def _relation(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def off(km: float) -> str:
    """The headline of a card."""
    return tr(CARD_OFF, distance=distance(km))
