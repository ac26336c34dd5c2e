"""The fields that Grafana 12 documents for what it is provisioned with, as JSON schemas.

Names and types are taken from Grafana's own reference, field by field, as far as the platform uses
them; a field that is not listed is an error, since Grafana would drop it without a word:

- provisioning: docs/sources/administration/provisioning/index.md at 0025f3746dd6
- dashboards: kinds/dashboard/dashboard_kind.cue at 00139e84396b
- a panel's options, and targets: the defaults of the panel and data source plugins of 12.1
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string", "minLength": 1}
TEXT: Schema = {"type": "string"}
BOOL: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NOTHING: Schema = {"type": "array", "maxItems": 0}


def one_of(*values: object) -> Schema:
    return {"enum": list(values)}


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def fields(optional: dict[str, Schema] | None = None, /, **required: Schema) -> Schema:
    """An object of just these fields."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


# --- Provisioning ---

_INFLUXDB = fields(
    name=STRING,
    uid=STRING,
    type=one_of("influxdb"),
    access=one_of("proxy"),
    url=STRING,
    isDefault=BOOL,
    editable=BOOL,
    jsonData=fields(
        version=one_of("Flux"),
        organization=STRING,
        defaultBucket=STRING,
        httpMode=one_of("GET", "POST"),
    ),
    secureJsonData=fields(token=STRING),
)
_POSTGRESQL = fields(
    name=STRING,
    uid=STRING,
    type=one_of("grafana-postgresql-datasource"),
    access=one_of("proxy"),
    url=STRING,
    user=STRING,
    editable=BOOL,
    jsonData=fields(
        database=STRING,
        sslmode=one_of("disable", "require", "verify-ca", "verify-full"),
        maxOpenConns=COUNT,
        maxIdleConns=COUNT,
        connMaxLifetime=COUNT,
    ),
    secureJsonData=fields(password=STRING),
)
DATASOURCES = fields(
    apiVersion=one_of(1), prune=BOOL, datasources=many({"oneOf": [_INFLUXDB, _POSTGRESQL]})
)
PROVIDERS = fields(
    apiVersion=one_of(1),
    providers=many(
        fields(
            name=STRING,
            orgId=COUNT,
            folder=TEXT,
            folderUid=TEXT,
            type=one_of("file"),
            disableDeletion=BOOL,
            allowUiUpdates=BOOL,
            updateIntervalSeconds=COUNT,
            options=fields(path=STRING, foldersFromFilesStructure=BOOL),
        )
    ),
)

# --- Dashboards ---

_DATASOURCE = fields(type=STRING, uid=STRING)
_GRID = fields(
    h={"type": "integer", "minimum": 1},
    w={"type": "integer", "minimum": 1, "maximum": 24},
    x={"type": "integer", "minimum": 0, "maximum": 23},
    y=COUNT,
)
_THRESHOLDS = fields(
    mode=one_of("absolute", "percentage"),
    steps=many(fields(color=STRING, value={"type": ["number", "null"]})),
)
_FIELD_CONFIG = fields(
    defaults=fields(
        {
            "unit": STRING,
            "min": NUMBER,
            "custom": fields(
                drawStyle=one_of("line", "bars", "points"),
                fillOpacity=NUMBER,
                lineWidth=NUMBER,
                showPoints=one_of("auto", "never", "always"),
                spanNulls=BOOL,
            ),
        },
        color=fields(mode=one_of("thresholds", "palette-classic", "fixed")),
        mappings=NOTHING,
        thresholds=_THRESHOLDS,
    ),
    overrides={
        "type": "array",
        "items": fields(
            matcher=fields(id=one_of("byName"), options=STRING),
            properties=many(fields(id=STRING, value={})),
        ),
    },
)
_TARGET = {
    "oneOf": [
        fields(refId=STRING, datasource=_DATASOURCE, query=STRING),
        fields(
            refId=STRING,
            datasource=_DATASOURCE,
            editorMode=one_of("code"),
            format=one_of("table", "time_series"),
            rawQuery=one_of(True),
            rawSql=STRING,
        ),
    ]
}
_OPTIONS = {
    "stat": fields(
        colorMode=one_of("none", "value", "background"),
        graphMode=one_of("none", "line", "area"),
        justifyMode=one_of("auto", "center"),
        orientation=one_of("auto", "horizontal", "vertical"),
        reduceOptions=fields(calcs=many(STRING), fields=TEXT, values=BOOL),
        textMode=one_of("auto", "value", "value_and_name", "name", "none"),
        wideLayout=BOOL,
    ),
    "timeseries": fields(
        legend=fields(
            calcs=NOTHING,
            displayMode=one_of("list", "table", "hidden"),
            placement=one_of("bottom", "right"),
            showLegend=BOOL,
        ),
        tooltip=fields(
            hideZeros=BOOL,
            mode=one_of("single", "multi", "none"),
            sort=one_of("none", "asc", "desc"),
        ),
    ),
    "table": fields(cellHeight=one_of("sm", "md", "lg"), showHeader=BOOL),
}


def _panel(kind: str) -> Schema:
    return fields(
        id={"type": "integer", "minimum": 1},
        type=one_of(kind),
        title=STRING,
        description=STRING,
        datasource=_DATASOURCE,
        gridPos=_GRID,
        targets=many(_TARGET),
        options=_OPTIONS[kind],
        fieldConfig=_FIELD_CONFIG,
    )


DASHBOARD = fields(
    uid={"type": "string", "minLength": 8, "maxLength": 40},
    title=STRING,
    description=STRING,
    tags=many(STRING),
    schemaVersion=one_of(41),  # of Grafana 12.0 and 12.1
    version=COUNT,
    editable=BOOL,
    graphTooltip=one_of(0, 1, 2),
    timezone=one_of("browser", "utc"),
    refresh=STRING,
    time=fields({}, **{"from": STRING, "to": STRING}),
    timepicker=fields(),
    fiscalYearStartMonth=one_of(0),
    links=NOTHING,
    annotations=fields(list=NOTHING),
    templating=fields(list=NOTHING),
    panels=many({"oneOf": [_panel(kind) for kind in _OPTIONS]}),
)
