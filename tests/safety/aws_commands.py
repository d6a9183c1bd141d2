"""`aws` where the AWS CLI is not installed: the few commands that `status --by-hand` prints, done by boto3.

Not the AWS CLI, and no copy of it: what it does not know ends with an error.
"""

import json
import sys
from pathlib import Path
from typing import Any

import boto3


def main(words: list[str]) -> None:
    """Do one command."""
    options, rest = _options(words)
    (_route53 if rest[0] == "route53" else _s3)(rest, options)


def _s3(rest: list[str], options: dict[str, Any]) -> None:
    client = boto3.client("s3", endpoint_url=options.get("endpoint-url"), region_name=options.get("region"))
    match rest:
        case ["s3api", "get-object", file]:
            _get(client, options, Path(file))
        case ["s3api", "put-object"]:
            condition = {"IfMatch": options["if-match"]} if "if-match" in options else {"IfNoneMatch": "*"}
            client.put_object(
                Bucket=options["bucket"], Key=options["key"], Body=Path(options["body"]).read_bytes(),
                ContentType=options["content-type"], **condition,
            )  # fmt: skip
        case ["s3api", "delete-object"]:
            client.delete_object(Bucket=options["bucket"], Key=options["key"])
        case ["s3", "rm", where]:
            bucket, key = _place(where)
            for name in _keys(client, bucket, key) if "recursive" in options else [key]:
                client.delete_object(Bucket=bucket, Key=name)
        case ["s3api", "list-objects-v2"]:
            names = _keys(client, options["bucket"], options["prefix"])
            sys.stdout.write("\n".join(names or ["None"]) + "\n")
        case ["s3api", "get-bucket-policy"]:
            sys.stdout.write(client.get_bucket_policy(Bucket=options["bucket"])["Policy"] + "\n")
        case ["s3api", "put-bucket-policy"]:
            policy = json.loads(Path(options["policy"].removeprefix("file://")).read_bytes())
            client.put_bucket_policy(Bucket=options["bucket"], Policy=json.dumps(policy))
        case ["s3api", "delete-bucket-policy"]:
            client.delete_bucket_policy(Bucket=options["bucket"])
        case _:
            raise SystemExit(f"aws_commands.py does not know {rest}")


def _route53(rest: list[str], options: dict[str, Any]) -> None:
    client = boto3.client("route53", endpoint_url=options.get("endpoint-url"), region_name=options.get("region"))
    command, zone = rest[1], options["hosted-zone-id"]
    if command == "list-resource-record-sets":
        pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
        sets = [entry for page in pages for entry in page["ResourceRecordSets"]]
        sys.stdout.write(json.dumps({"ResourceRecordSets": sets}))
    elif command == "change-resource-record-sets":
        batch = json.loads(Path(options["change-batch"].removeprefix("file://")).read_bytes())
        client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    else:
        raise SystemExit(f"aws_commands.py does not know route53 {command}")


def _get(client: Any, options: dict[str, Any], file: Path) -> None:
    try:
        answer = client.get_object(Bucket=options["bucket"], Key=options["key"])
    except client.exceptions.NoSuchKey as fault:
        raise SystemExit(f"An error occurred (NoSuchKey) when calling the GetObject operation: {fault}") from None
    file.write_bytes(answer["Body"].read())
    sys.stdout.write(f"{answer['ETag']}\n")


def _options(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    options: dict[str, Any] = {}
    rest, left = [], iter(words)
    for word in left:
        name = word.removeprefix("--")
        if name == word:
            rest.append(word)
        elif name == "recursive":
            options[name] = True
        else:
            options[name] = next(left)
    return options, rest


def _place(where: str) -> tuple[str, str]:
    bucket, _, key = where.removeprefix("s3://").partition("/")
    return bucket, key


def _keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", ())]


if __name__ == "__main__":
    main(sys.argv[1:])
