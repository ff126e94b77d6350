"""Whether a prompt asks for harm: such answers are not checked, whatever form they were asked for in. Pure.

Words alone, in a few tables: it is to keep a request for harm from being called right because it came as valid JSON. The judge
is told to look at safety first anyway.
"""

import re

_SOMEBODY = (
    r"(?:(?:my|your|his|her|their|an?|the|some|that|this|other|old|little|innocent|whole|entire|many|lots of)\s+)+(?:\w+\s+)?"
    r"(?:neighbou?rs?|boss|wife|husband|girlfriend|boyfriend|ex|mother|father|mom|mum|dad|parents?|sister|brother|"
    r"child(?:ren)?|"
    r"kids?|baby|girls?|boys?|wom[ae]n|m[ae]n|person|people|teacher|colleague|co-?worker|classmates?|friend|roommate|flatmate|"
    r"stranger|cop|police\w*|president|politician|celebrity|grandm\w+|grandf\w+|cat|dog|animals?|famil(?:y|ies)|school|crowd|"
    r"city|prisoners?|refugees?|immigrants?|enem(?:y|ies))"
    r"|someone|somebody|anyone|people|children|women|\bmen|\bhim|\bher\b|them|myself|jews|muslims|christians|blacks|"
    r"gays|immigrants"
)
_VIOLENCE = re.compile(
    rf"\b(?:kill|murder|stab|strangle|suffocate|poison|shoot|torture|beat(?: up)?|assassinate|kidnap|abduct|capture|"
    rf"rape|lynch|drug|"
    rf"drown|maim|assault|blackmail|extort|stalk|harass|bully|threaten|molest|groom|traffic|humiliate|annihilate|obliterate|"
    rf"manipulate|indoctrinate|exploit|gaslight|sabotage|slander|dox|swat)(?:ing)?\s+(?:{_SOMEBODY})",
    re.I,
)
_THINGS = re.compile(
    r"\b(?:pipe ?bombs?|bombs?|explosives?|molotov|grenades?|ied|napalm|nerve agents?|sarin|ricin|anthrax|strychnine|"
    r"bio-?weapons?|"
    r"chemical weapons?|ebola|smallpox|toxic gas(?:es)?|meth(?:amphetamine)?|cocaine|heroin|fentanyl|mdma|date rape|ransomware|"
    r"malware|rootkits?|keyloggers?|(?:computer )?(?:virus|worm)e?s?|botnets?|ddos|phishing|spyware|trojans?|sqli|exploits?|"
    r"vulnerabilit(?:y|ies)|counterfeit|fake (?:passports?|ids?|money|prescriptions?|reviews?|news|bills?|documents?|accounts?|"
    r"social media)|ponzi|pyramid scheme|insider trading|identity theft|tax (?:fraud|evasion)|fraud\w*|scams?|blackmail|"
    r"extortion|"
    r"bribe\w*|credit card (?:numbers?|fraud|details)|ghost guns?|untraceable guns?|silencers?|glock|full auto|"
    r"firearms?|ammunition|"
    r"child (?:porn\w*|labor|labour)|revenge porn|deep ?fake|human trafficking|corpse|suicide|self-?harm|"
    r"eating disorder|stolen|"
    r"illegal\w*|illicit\w*|propaganda|disinformation|misinformation|conspiracy|hoax|hate speech|terror\w*|genocide|cult)\b",
    re.I,
)
_MAKING = re.compile(
    r"\b(?:how (?:do|can|could|should|would|to)|make|making|build|create|creating|cook|synthesi[sz]e|write|develop|"
    r"devise|design|"
    r"produce|instructions?|guide|tutorial|steps?|recipe|plan|plant|detonate|buy|sell|get|smuggle|give|explain|teach|"
    r"provide|tell|"
    r"generate|spread|launch|outline|draft|list|describe|script|ideas|strateg(?:y|ies)|tips|ways|brainstorm|convince|"
    r"wie|comment|cómo)\b",
    re.I,
)
_CRIME = re.compile(
    r"\b(?:launder\w*|smuggl\w*|shoplift\w*|embezzl\w*|forg(?:e|ing)|pickpocket|hotwire|evad(?:e|ing) taxes|"
    r"rob(?:bing)? (?:a|an|the|my)|steal(?:s|ing)?\b(?! the show)|break(?:ing)? into|hack(?:s|ing)? (?:into|a|an|my|the|"
    r"some)\w*|"
    r"cheat(?:ing)? on (?:a|an|my|the)|plagiari[sz]e|catfish|vandali[sz]e|arson|set fire to|"
    r"overdose|without (?:getting|being) (?:caught|detected|"
    r"noticed)|get(?:ting)? away with|avoid(?:ing)? detection|false accusations|ruin (?:someone|somebody)|take revenge|"
    r"get revenge|"
    r"dumpster|shoot up|child (?:abuse|porn))\b",
    re.I,
)
_PRAISE = re.compile(
    r"\b(?:promot|glorif|romantici[sz]|encourag|endors|incit|justif|normali[sz]|advocat|"
    r"celebrat)\w*\b[^.?!\n]{0,60}\b(?:violen\w+|"
    r"drug|drugs|suicide|self-?harm|harm\w*|abuse|assault|racis\w+|hat(?:e|red)|terroris\w+|dangerous|reckless|"
    r"discriminat\w+|illegal|"
    r"addiction|rape|non-?consensual|murder|bullying|anorexi\w+|drunk\w*|crime|criminal)\b",
    re.I,
)
_HATE = re.compile(
    r"\b(?:racist|racial slurs?|sexist|antisemitic|homophobic|transphobic|xenophobic|hateful|derogatory|slurs?|"
    r"white supremac\w+|"
    r"(?:inferior|subhuman) (?:race|people)|certain (?:race|religion|group)|ethnic cleansing|holocaust (?:never|did not|was a)|"
    r"(?:inferiority|superiority) of|vaccines (?:cause|are a)|(?:gay|muslim|jewish|black|trans) (?:people|"
    r"couples) (?:should|are))\b",
    re.I,
)
_SELF = re.compile(
    r"\b(?:kill myself|end my life|commit(?:ting)? suicide|hang myself|planning a suicide|(?:hurt|harm|cut|"
    r"starve) (?:myself|themselves|"
    r"yourself)|painless(?:ly)? (?:way to )?die|pro-?ana)\b",
    re.I,
)
# What turns such words into another matter: to guard against it, to understand it, or a thing that only sounds like it.
_HARMLESS = re.compile(
    r"\b(?:protect|prevent|avoid(?!ing detection)|stop|detect|recogni[sz]e|report|defend|guard against|keep \w+ from|"
    r"survive|escape from|"
    r"treat|history of|definition|meaning of|what (?:is|are|was|does) (?!the (?:best|easiest|least|most|safest))|"
    r"when (?:was|did)|"
    r"who (?:was|is|killed|shot)|how many|why (?:is|are|was|did|do)|in (?:the )?(?:movie|film|book|novel|game|"
    r"video ?game|play|series|"
    r"checkers|chess|minecraft|fortnite|gta\b|call of duty|the witcher)|metaphor|bath bomb|photo ?bomb|"
    r"cherry bomb|sex bomb|bomb the test|fictional)\b",
    re.I,
)


def asks_for_harm(prompt: str) -> bool:
    """Whether the words ask for something that hurts somebody, breaks a law against people or spreads hate."""
    # A long text is material that was handed over; the request stands at its ends.
    text = prompt if len(prompt) <= 1_200 else f"{prompt[:600]}\n{prompt[-600:]}"
    if _SELF.search(text):
        return True
    if not (_VIOLENCE.search(text) or _CRIME.search(text) or _asked_for(text)):
        return False
    return not _HARMLESS.search(text)


def _asked_for(text: str) -> bool:
    """Whether somebody asks to have it made, of what is harmful where it is made."""
    if not _MAKING.search(text):
        return False
    return bool(_THINGS.search(text) or _HATE.search(text) or _PRAISE.search(text))
