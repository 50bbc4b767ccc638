"""`aws iam tag-open-id-connect-provider --open-id-connect-provider-arn ARN --tags Key=K,Value=V`: see `aws`."""

import os
import sys

import botocore.session

_, _, _, arn_flag, arn, tags_flag, tag = sys.argv
assert (arn_flag, tags_flag) == ("--open-id-connect-provider-arn", "--tags"), sys.argv
key, value = (part.split("=", 1)[1] for part in tag.split(","))
iam = botocore.session.Session().create_client("iam", region_name="us-east-1", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
was = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
url = was["Url"] if "://" in was["Url"] else f"http://{was['Url']}"
iam.create_open_id_connect_provider(
    Url=url, ClientIDList=was["ClientIDList"], ThumbprintList=was["ThumbprintList"],
    Tags=[*was.get("Tags", []), {"Key": key, "Value": value}])
