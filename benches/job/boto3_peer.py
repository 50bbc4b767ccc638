"""The same job with boto3: boto3_peer.py upload_fileobj|put_object URL BUCKET PICTURES AT_ONCE [threads]

One client and one pool of connections for all pictures. `upload_fileobj` streams, in parts if need be; with
`threads`, up to ten parts at the same time. `put_object` gets the picture when it has been read, which costs
less and needs the memory.
"""

import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

how, url, bucket = sys.argv[1:4]
pictures, at_once = map(int, sys.argv[4:6])
# The checksum is sufficient: over plain HTTP, boto3 would hash the picture for the signature as well.
settings = Config(max_pool_connections=max(at_once, 10), s3={"payload_signing_enabled": False})
s3 = boto3.client("s3", config=settings)
# Else boto3 starts threads for each picture, which costs more than the picture.
transfer = TransferConfig(use_threads=sys.argv[6:] == ["threads"])
http = urllib3.PoolManager(maxsize=at_once, ca_certs=os.environ.get("AWS_CA_BUNDLE"))


def upload(_):
    key = f"{uuid.uuid4()}.jpg"
    with http.request("GET", url, preload_content=False) as answer:
        if answer.status != 200:
            raise SystemExit(f"the image host answered {answer.status}")
        if how == "put_object":
            s3.put_object(Bucket=bucket, Key=key, Body=answer.read(), ContentType="image/jpeg")
        else:
            s3.upload_fileobj(answer, bucket, key, Config=transfer)


if at_once == 1:
    for picture in range(pictures):
        upload(picture)
else:
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(upload, range(pictures)))
