"""The same job with boto3: boto3_peer.py upload_fileobj|put_object URL BUCKET PICTURES AT_ONCE

One client and one pool of connections for all pictures. `upload_fileobj` streams, in parts if need be.
`put_object` gets the picture when it has been read, which costs less and needs the memory.
"""

import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import urllib3
from botocore.config import Config

how, url, bucket = sys.argv[1:4]
pictures, at_once = map(int, sys.argv[4:])
s3 = boto3.client("s3", config=Config(max_pool_connections=max(at_once, 10)))
http = urllib3.PoolManager(maxsize=at_once, ca_certs=os.environ.get("AWS_CA_BUNDLE"))


def upload(_):
    key = f"{uuid.uuid4()}.jpg"
    with http.request("GET", url, preload_content=False) as answer:
        if answer.status != 200:
            raise SystemExit(f"the image host answered {answer.status}")
        if how == "put_object":
            s3.put_object(Bucket=bucket, Key=key, Body=answer.read(), ContentType="image/jpeg")
        else:
            s3.upload_fileobj(answer, bucket, key)


if at_once == 1:
    for picture in range(pictures):
        upload(picture)
else:
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(upload, range(pictures)))
