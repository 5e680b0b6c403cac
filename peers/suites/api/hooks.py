"""What must hold of every answer, whatever was sent: loaded by schemathesis through SCHEMATHESIS_HOOKS."""

import json

import schemathesis

# Wrong requests that SCDF answers with 500 and so do we; anything else of that kind is a fault of ours.
SCDF_500 = {
    "DateTimeParseException",
    "HttpMediaTypeNotSupportedException",
    "HttpRequestMethodNotSupportedException",
    "IllegalArgumentException",
    "IllegalStateException",
    "PropertyReferenceException",
    "ReleaseNotFoundException",
    "ReleaseUpgradeException",
    "ResourceAccessException",
    "RuntimeException",
    "NotFound",
    "HttpClientErrorException",
    "InternalServerError",
}


@schemathesis.check
def answered_as_scdf_would(ctx, response, case):
    status = response.status_code
    text = response.text or ""
    if status < 400 or not text:
        return
    document = json.loads(text)
    if "_embedded" in document:
        errors = document["_embedded"]["errors"]
        assert errors and errors[0]["message"], "an error without a message"
        logref = errors[0]["logref"]
        assert status != 500 or logref in SCDF_500, f"a 500 that SCDF would not give: {logref}"
        assert status in (400, 404, 409, 413, 500, 503), f"status {status} for {logref}"
    else:
        # The framework's own error document.
        assert status in (404, 406), f"status {status} in the framework's form"
        assert document["status"] == status
