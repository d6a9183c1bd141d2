"""What `drfsm status --by-hand` prints for endpoints: the write gate, the active-site document, and a name's records.

Each command is a compare-and-swap, as drfsm's own: an object is written with the ETag that it was read with, and
records are deleted as they were read, in one batch with the claim. What is not as before must be as this run left it
(its own id stands in the document, the routing object and the claim); else the command ends with an error, and writes
nothing. A document's epoch rises, so that a server that was about to acknowledge a write notices.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from shlex import join
from typing import Any

from drfsm.dr.endpoints import active, declared, gates, records, switch
from drfsm.dr.terms import Terms
from drfsm.dr.workload import HEALTH_CHECK, SITES
from drfsm.journal import RunState
from drfsm.runs.by_hand_commands import aws, lost, merge_patch

_NOW = (
    "import datetime as d,json,re,sys,uuid;"
    ' at=lambda s:(d.datetime.now(d.timezone.utc)+d.timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%SZ");'
    ' foreign=lambda f,w:sys.exit(f"{f} {w}: another process changed it since. Nothing was written");'
)
_EDIT_OBJECT = (
    f"{_NOW} old,new,run,ttl,wanted=sys.argv[1:]; now=json.load(open(old)); wanted=json.loads(wanted);"
    ' same=all(now.get(n)==v for n,v in wanted.items()); by=now.get("run");'
    ' same or by==run or foreign(old,f"was written by {by}");'
    ' now.update(wanted,run=run,nonce=uuid.uuid4().hex); ("writes" in now) and now.update(epoch=now["epoch"]+1,'
    ' since=at(0)); ("until" in now) and now.update(until=max(now["until"],at(int(ttl))));'
    ' open(new,"w").write("" if same else json.dumps(now,indent=2)+"\\n")'
)
"""Writes what an object must be. Arguments: file, file to write, run, TTL in seconds, the fields as they were before.

The file is empty where the object is as before already.
"""
_EDIT_RECORDS = (
    f"{_NOW} old,new,run,types,host,site,before,after=sys.argv[1:]; before,after=json.loads(before),json.loads(after);"
    ' every=json.load(open(old))["ResourceRecordSets"]; of=lambda h:[r for r in every if r["Name"].rstrip(".")==h];'
    ' now=sorted((r for r in of(host) if r["Type"] in types.split(",")),'
    ' key=lambda r:(r["Type"],r.get("SetIdentifier","")));'
    ' claim=of("_drfsm."+host); text=claim[0]["ResourceRecords"][0]["Value"] if claim else ""; same=now==before;'
    ' same or now==after or foreign(host,"has other records than this run made");'
    ' same or f"\\"run={run}\\"" in text or foreign(host,f"has a claim of another run ({text})");'
    ' until=max([at(max(r.get("TTL",0) for r in now))]+re.findall("\\"until=([^\\"]*)\\"",text)) if now else "";'
    ' put={"until":until,"nonce":uuid.uuid4().hex,**({"site":site} if site else {})};'
    ' edit=lambda m:f"\\"{m[1]}={put.get(m[1],m[2])}\\"";'
    ' then=[{**r,"ResourceRecords":[{"Value":re.sub("\\"([a-z]+)=([^\\"]*)\\"",edit,text)}]} for r in claim];'
    ' set_of=lambda a,rs:[{"Action":a,"ResourceRecordSet":r} for r in rs];'
    ' batch=set_of("DELETE",[r for r in now if r not in before]+claim)'
    '+set_of("CREATE",[r for r in before if r not in now]+then);'
    ' open(new,"w").write("" if same else json.dumps({"Comment":"by hand: "+run,"Changes":batch}))'
)
"""Writes the batch that restores a name's records. Arguments: file, file to write, run, types, host, the site that the
claim names then ("": the same as now), the records before and as the run left them. The file is empty where nothing is
to be done."""


def gate(site: str, seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    """Yield what puts a site's write gate back: its switch first, then what everybody else is told."""
    switches = seen.get("switches")
    if isinstance(switches, Mapping) and "not_asked" in switches:
        yield f"# {site} was out of reach, so this run did not change its switch for writes."
    elif isinstance(switches, Mapping):
        data = {name: value for name, value in switches.items() if name != "before"}
        patch = {"data": data, "metadata": {"annotations": {gates.BEFORE: switches.get("before")}}}
        yield merge_patch(site, state, terms, f"configmap/{terms.configmap}", patch)
    yield from document(seen["document"], state, terms)


def document(seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    """Yield what makes the active-site document name the site and the writes of before."""
    key = terms.layout.own("active.json")
    if seen["site"] in SITES and seen["writes"] in (active.OPEN, active.CLOSED):
        yield _object("active", key, {name: seen[name] for name in ("site", "writes")}, state, terms)
        return
    why = seen.get("why") or "there was none before, and without one servers refuse every write: it stays"
    yield lost(f"s3://{terms.bucket}/{key}", str(why))


def _object(file: str, key: str, wanted: Mapping[str, Any], state: RunState, terms: Terms, ttl: int = 0) -> str:
    old, new, at = f"{file}-now.json", f"{file}-new.json", ("--bucket", terms.bucket, "--key", key)
    get = f"{aws(state, 's3api', 'get-object', *at, old)} --query ETag --output text"
    edit = ["python3", "-c", _EDIT_OBJECT, old, new, state.run_id, str(ttl), json.dumps(wanted, sort_keys=True)]
    put = aws(state, "s3api", "put-object", *at, "--body", new, "--content-type", "application/json")
    return f'( etag=$({get}) && {join(edit)} && if test -s {new}; then {put} --if-match "$etag"; fi )'


def ttl(seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    """Yield what restores the records whose TTL was lowered; the claims name the same sites as now."""
    for number, (name, image) in enumerate(seen.items(), 1):
        entry = declared.moving(terms)[name]
        after = records.lowered(image["records"], entry.endpoint.ttl)
        yield _records(f"records-{number}", entry, image["records"], after, "", state)


def site_of_names(seen: Mapping[str, Any], state: RunState, terms: Terms) -> Iterator[str]:
    """Yield what leads every name back to the site of before: its records, or its routing object."""
    for number, (name, image) in enumerate(seen.items(), 1):
        if not isinstance(image, Mapping):  # words
            continue
        entry = declared.moving(terms)[name]
        if entry.endpoint.routing == HEALTH_CHECK:
            key, before = terms.layout.own(switch.name_of(name)), image.get("object") or {"site": "primary"}
            longest = records.longest_ttl(image["records"])
            yield _object(f"routing-{number}", key, {"site": before["site"]}, state, terms, longest)
            continue
        site = records.site_of(entry.endpoint, image["records"])[0]
        if site not in SITES:
            yield lost(entry.host, str(image.get("in_words", "its records led to no site")))
            continue
        after = records.moved(entry.endpoint, image["records"], terms.target_site)
        yield _records(f"records-{number}", entry, image["records"], after, site, state)


def _records(
    file: str, entry: declared.Moving, before: Sequence[Any], after: Sequence[Any], site: str, state: RunState
) -> str:
    zone, old, new = ("--hosted-zone-id", entry.endpoint.zone), f"{file}-now.json", f"{file}-new.json"
    known = [json.dumps(list(sets), sort_keys=True) for sets in (before, after)]
    words = ["python3", "-c", _EDIT_RECORDS, old, new, state.run_id, ",".join(records.ROUTES), entry.host, site, *known]
    get = f"{aws(state, 'route53', 'list-resource-record-sets', *zone, '--output', 'json')} > {old}"
    change = aws(state, "route53", "change-resource-record-sets", *zone, "--change-batch", f"file://{new}")
    return f"( {get} && {join(words)} && if test -s {new}; then {change}; fi )"
